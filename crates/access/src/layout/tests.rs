//! What must hold for every layout, whatever the file says.

use super::*;

const FILE: &str = "\
[mesh]
namespace = \"shop\"
[agents.research]
[agents.code]
[publishers.web]
may = [\"research\"]
capabilities = [\"tests\"]
channels = [\"news\"]
[people.vic]
role = \"viewer\"
[people.bea]
role = \"approver\"
[people.ada]
role = \"operator\"
[people.max]
role = \"admin\"
";

fn layout() -> Layout {
    Layout::of(&Access::parse(FILE).expect("reads"))
}

fn account<'a>(layout: &'a Layout, name: &str) -> &'a Account {
    layout.accounts.iter().find(|one| one.name == name).expect(name)
}

fn imports<'a>(layout: &'a Layout, name: &str) -> Vec<&'a str> {
    account(layout, name)
        .imports
        .iter()
        .map(|import| import.subject.as_str())
        .collect()
}

#[test]
fn only_controllers_store_and_nobody_else_can_change_a_stream() {
    let layout = layout();
    for account in &layout.accounts {
        let is_mesh = account.owner == Owner::Controllers;
        assert_eq!(account.stores.is_some(), is_mesh, "{}", account.name);
        for import in &account.imports {
            let allowed = [
                "INFO",
                "STREAM.INFO.",
                "STREAM.NAMES",
                "STREAM.LIST",
                "STREAM.MSG.GET.",
                "DIRECT.GET.",
            ];
            let consumers = ["CONSUMER.INFO.", "CONSUMER.LIST.", "CONSUMER.MSG.NEXT."];
            if let Some(request) = import.subject.strip_prefix("$JS.API.") {
                let is_allowed = allowed.iter().chain(&consumers).any(|begin| request.starts_with(begin));
                assert!(is_allowed, "{} may {request}", account.name);
            }
            assert!(
                !import.subject.starts_with("$KV.") && import.subject != ">",
                "{}",
                import.subject
            );
        }
    }
}

#[test]
fn every_import_is_exported_to_that_account_and_to_nobody_who_does_not_import_it() {
    let layout = layout();
    for importer in &layout.accounts {
        for import in &importer.imports {
            let exporter = account(&layout, &import.from);
            let export = exporter.exports.iter().find(|export| export.subject == import.subject);
            let export = export.expect("an export");
            assert_eq!(export.kind, import.kind, "{}", import.subject);
            assert!(
                export.to.contains(&importer.name),
                "{} to {}",
                import.subject,
                importer.name
            );
        }
    }
    for exporter in &layout.accounts {
        for export in &exporter.exports {
            for to in &export.to {
                let imported = account(&layout, to).imports.iter();
                let mut imported = imported.filter(|import| import.from == exporter.name);
                assert!(
                    imported.any(|import| import.subject == export.subject),
                    "{} to {to}",
                    export.subject
                );
            }
        }
    }
}

/// An answer can be redirected into what an account imports by its full name, and arrives as if the mesh had sent it.
#[test]
fn nothing_that_changes_the_mesh_is_imported_by_its_full_name() {
    let layout = layout();
    for account in layout
        .accounts
        .iter()
        .filter(|account| account.owner != Owner::Controllers)
    {
        let services = account.imports.iter().filter(|import| import.kind != Kind::Stream);
        for import in services.filter(|import| !import.subject.contains(['*', '>'])) {
            let own =
                ["intent", "ask", "capability", "channel"].map(|what| format!("shop.from.{}.{what}.", account.name));
            let only_asks = !import.right.changes() || own.iter().any(|own| import.subject.starts_with(own));
            assert!(only_asks, "{} imports {}", account.name, import.subject);
        }
    }
}

#[test]
fn an_author_is_the_account_itself() {
    let layout = layout();
    for account in &layout.accounts {
        for import in &account.imports {
            if let Some(rest) = import.subject.strip_prefix("shop.from.") {
                let author = rest.split('.').next();
                assert_eq!(author, Some(account.name.as_str()));
                let local = import.local.as_deref().expect("mapped");
                assert_eq!(
                    format!("shop.from.{}.{}", account.name, &local["shop.".len()..]),
                    import.subject
                );
            }
        }
    }
    assert!(imports(&layout, "web").contains(&"shop.from.web.intent.research"));
    assert!(imports(&layout, "web").contains(&"shop.from.web.ask.research"));
    assert!(!imports(&layout, "web").iter().any(|subject| subject.contains("code")));
    for (what, own) in [("capability", "tests"), ("channel", "news")] {
        let of = |name: &str| {
            let all = imports(&layout, name).into_iter();
            all.filter(|subject| subject.contains(&format!(".{what}.")))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("web"), [format!("shop.from.web.{what}.{own}")]);
        for person in ["ada", "max"] {
            assert_eq!(of(person), [format!("shop.from.{person}.{what}.*")]);
        }
        for nobody in ["research", "vic", "bea"] {
            assert_eq!(of(nobody), Vec::<String>::new(), "{nobody}");
        }
    }
}

#[test]
fn an_agent_takes_and_acknowledges_its_own_tickets_alone() {
    let layout = layout();
    let of_code = |subject: &&str| subject.contains("SHOP_WORK_code");
    let (code, research) = (imports(&layout, "code"), imports(&layout, "research"));
    assert_eq!(code.iter().filter(|subject| of_code(subject)).count(), 7, "{code:?}");
    assert_eq!(research.iter().filter(|subject| of_code(subject)).count(), 0);
    let acks: Vec<_> = code.iter().filter(|subject| subject.starts_with("$JS.ACK.")).collect();
    assert_eq!(acks.len(), 2);
    for ack in acks {
        assert!(!ack.contains('*'), "{ack} would match acks of others");
    }
}

#[test]
fn a_role_may_what_the_lesser_ones_may_and_more() {
    let layout = layout();
    // What a wildcard of the greater role covers is not imported by name, too.
    let covers = |all: &[&str], wanted: &str| {
        all.iter().any(|subject| {
            let (have, want): (Vec<&str>, Vec<&str>) = (subject.split('.').collect(), wanted.split('.').collect());
            have.len() == want.len() && have.iter().zip(&want).all(|(have, want)| *have == "*" || have == want)
        })
    };
    for (lesser, greater) in [("vic", "bea"), ("bea", "ada"), ("ada", "max")] {
        let have = imports(&layout, greater);
        for subject in imports(&layout, lesser) {
            // Each in its own name.
            let wanted = subject
                .replace(&format!(".from.{lesser}."), &format!(".from.{greater}."))
                .replace(&format!(".decide.{lesser}."), &format!(".decide.{greater}."));
            assert!(covers(&have, &wanted), "{greater} lacks {wanted}");
        }
        assert!(have.iter().any(|subject| !imports(&layout, lesser).contains(subject)));
    }
}

/// An agent writes in the space of its own name, and in those that its entry names; no other agent writes there.
#[test]
fn an_agent_writes_in_its_own_space_and_in_those_that_it_is_given() {
    let given = FILE.replace(
        "[agents.code]",
        "[agents.code]\nspaces = [\"house-rules\", \"code\", \"research\", \"house-rules\"]",
    );
    let layout = Layout::of(&Access::parse(&given).expect("reads"));
    let written = |agent| {
        let all = imports(&layout, agent);
        let spaces = all.into_iter().filter(|subject| subject.starts_with("shop.memory."));
        spaces.collect::<Vec<_>>()
    };
    let code = [
        "shop.memory.code.*",
        "shop.memory.house-rules.*",
        "shop.memory.research.*",
    ];
    assert_eq!(written("code"), code);
    assert_eq!(written("research"), ["shop.memory.research.*"]);
    let refused = Access::parse(&FILE.replace("[agents.code]", "[agents.code]\nspaces = [\"a b\"]"));
    assert!(refused.is_err());
}
