//! The model as the table of `docs/security.md`: what each role may do, by which subjects, and what comes with it.

use std::collections::BTreeMap;

use crate::file::Access;
use crate::layout::{Account, Kind, Layout, Owner};
use crate::role::{Right, Role};

/// A mesh with one of everything. The names stand for any.
const EXAMPLE: &str = "\
[agents.AGENT]
[publishers.PUBLISHER]
may = [\"AGENT\"]
capabilities = [\"CAPABILITY\"]
channels = [\"CHANNEL\"]
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
    // Valid names; the table shows others in their place.
    let shown = [
        ("agent-name", "<agent>"),
        ("publisher-name", "<publisher>"),
        ("capability-name", "<capability>"),
        ("channel-name", "<channel>"),
        (".approver.", ".<name>."),
        (".operator.", ".<name>."),
    ];
    let text = EXAMPLE
        .replace("AGENT", "agent-name")
        .replace("PUBLISHER", "publisher-name")
        .replace("CAPABILITY", "capability-name")
        .replace("CHANNEL", "channel-name");
    let Ok(access) = Access::parse(&text) else {
        return String::new();
    };
    let layout = Layout::of(&access);
    let of = |owner: Owner| layout.accounts.iter().find(|account| account.owner == owner);
    let mut out = "| Who | May | Reads or changes | Through | What comes with it |\n|---|---|---|---|---|\n".to_owned();
    for (who, owner) in [("worker", Owner::Agent), ("publisher", Owner::Publisher)] {
        if let Some(account) = of(owner) {
            rows(&mut out, who, &rights(account, &layout), &[]);
        }
    }
    let mut known = Vec::new();
    for role in Role::ALL {
        if let Some(account) = of(Owner::Person(role)) {
            let rights = rights(account, &layout);
            rows(&mut out, role.name(), &rights, &known);
            known.extend(rights.into_keys());
        }
    }
    for (name, placeholder) in shown {
        out = out.replace(name, placeholder);
    }
    out
}

/// The rights of an account, each with its subjects.
fn rights(account: &Account, layout: &Layout) -> BTreeMap<Right, Vec<String>> {
    let mut found: BTreeMap<Right, Vec<String>> = BTreeMap::new();
    let mut add = |right: Right, subject: String| {
        let subjects = found.entry(right).or_default();
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    };
    for import in &account.imports {
        let mut subject = format!("`{}`", import.local.as_ref().unwrap_or(&import.subject));
        if import.local.is_some() {
            subject = format!("{subject}, which arrives as `{}`", import.subject);
        }
        if import.kind == Kind::Stream {
            subject.push_str(" (heard)");
        }
        add(import.right, subject);
    }
    // What others import from it.
    for import in layout.accounts.iter().flat_map(|other| &other.imports) {
        if import.from == account.name {
            add(import.right, format!("`{}`", import.subject));
        }
    }
    found
}

/// The rows of one account, without the rights that lesser roles have, too.
fn rows(out: &mut String, who: &str, rights: &BTreeMap<Right, Vec<String>>, known: &[Right]) {
    for (right, subjects) in rights.iter().filter(|(right, _)| !known.contains(right)) {
        let effect = if right.changes() { "changes" } else { "reads" };
        let cells = [who, right.says(), effect, &subjects.join("<br>"), right.unwanted()];
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}
