//! The model as the table of `docs/security.md`: what each role may do, by which subjects, and what comes with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::file::Access;
use crate::layout::{Account, Kind, Layout, Owner};
use crate::role::{Right, Role};

/// A mesh with one of everything. The names stand for any.
const EXAMPLE: &str = "\
[agents.AGENT]
[publishers.PUBLISHER]
may = [\"AGENT\"]
[people.viewer]
role = \"viewer\"
[people.approver]
role = \"approver\"
[people.operator]
role = \"operator\"
[people.admin]
role = \"admin\"
";

/// The table, in Markdown.
pub fn roles_table() -> String {
    // Names in capitals are none, so they cannot be read: they are put in afterwards.
    let (agent, publisher) = ("agent-name", "publisher-name");
    let text = EXAMPLE.replace("AGENT", agent).replace("PUBLISHER", publisher);
    let Ok(access) = Access::parse(&text) else {
        return String::new();
    };
    let layout = Layout::of(&access);
    let mut out = "| Who | May | Reads or changes | Through | What comes with it |\n|---|---|---|---|---|\n".to_owned();
    let mut seen: Vec<Right> = Vec::new();
    for account in &layout.accounts {
        let (who, inherits) = match account.owner {
            Owner::Controllers | Owner::System => continue,
            Owner::Agent => ("worker", false),
            Owner::Publisher => ("publisher", false),
            Owner::Person(_) => continue,
        };
        rows(&mut out, who, account, &layout, if inherits { &seen } else { &[] });
    }
    for role in Role::ALL {
        let account = layout
            .accounts
            .iter()
            .find(|account| account.owner == Owner::Person(role));
        let Some(account) = account else { continue };
        let rights = rows(&mut out, role.name(), account, &layout, &seen);
        seen.extend(rights);
    }
    out.replace(agent, "<agent>")
        .replace(publisher, "<publisher>")
        .replace(".operator.", ".<name>.")
        .replace(".approver.", ".<name>.")
}

/// The rows of one account, without the rights that it shares with lesser roles; gives the rights that it has.
fn rows(out: &mut String, who: &str, account: &Account, layout: &Layout, known: &[Right]) -> Vec<Right> {
    let mut by_right: BTreeMap<Right, Vec<String>> = BTreeMap::new();
    for import in &account.imports {
        let mut subject = format!("`{}`", import.local.as_ref().unwrap_or(&import.subject));
        if import.local.is_some() {
            let _ = write!(subject, ", which arrives as `{}`", import.subject);
        }
        if import.kind == Kind::Stream {
            subject.push_str(" (heard)");
        }
        by_right.entry(import.right).or_default().push(subject);
    }
    // What others import from it.
    for other in &layout.accounts {
        for import in other.imports.iter().filter(|import| import.from == account.name) {
            let right = if import.right == Right::HearsReplies {
                Right::Replies
            } else {
                import.right
            };
            by_right.entry(right).or_default().push(format!("`{}`", import.subject));
        }
    }
    for (right, subjects) in by_right.iter().filter(|(right, _)| !known.contains(right)) {
        let effect = if right.changes() { "changes" } else { "reads" };
        let _ = writeln!(
            out,
            "| {who} | {} | {effect} | {} | {} |",
            right.says(),
            subjects.join("<br>"),
            right.unwanted()
        );
    }
    by_right.into_keys().collect()
}
