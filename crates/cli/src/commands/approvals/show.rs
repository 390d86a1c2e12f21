//! `baton approvals show`: what an intent asks of people, and how to answer.

use baton_envelope::people::NOBODY;
use baton_envelope::shell_word;
use baton_jetstream::{Mesh, OpenApproval};
use clap::Args;

use super::{Document, WhichArgs, sample, the_open_one};
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// `baton approvals show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    which: WhichArgs,
}

/// Shows it.
pub(crate) async fn run(args: ShowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let open = the_open_one(&mesh, &args.which).await?;
    app.output.show(&Document::of(&open, &mesh), || text(&open, &mesh))
}

fn text(open: &OpenApproval, mesh: &Mesh) -> String {
    let OpenApproval {
        head,
        wait,
        ballot,
        asked,
        since,
        due,
    } = open;
    let intent = &head.record.intent;
    let mut table = Table::pairs();
    table.pair("intent", intent.as_str());
    table.pair("status", head.record.snapshot.status.to_string());
    table.pair(
        "asked by",
        format!(
            "{}, hop {}, wait {}",
            view::turn(&head.record.snapshot),
            wait.hop,
            wait.name
        ),
    );
    table.pair("title", asked.title.as_deref().unwrap_or_default());
    let choices = ballot.choices.iter().map(|choice| {
        let against = if choice.counts == baton_envelope::people::Weight::For {
            ""
        } else {
            " (against)"
        };
        format!("{}{against}", choice.name)
    });
    table.pair("choices", choices.collect::<Vec<_>>().join(", "));
    table.pair("may decide", ballot.may_decide().join(", "));
    let needed = view::count_of(u64::from(ballot.quorum), "person", "people");
    table.pair("needs", format!("{needed} with the same choice"));
    for (at, seat) in ballot.seats.iter().filter(|seat| seat.choice.is_some()).enumerate() {
        let name = if at == 0 { "decided" } else { " " };
        table.pair(
            name,
            format!("{}: {}", seat.name(), seat.choice.as_deref().unwrap_or_default()),
        );
    }
    table.pair("since", since.to_string());
    let at_due = due.map(|due| format!("{due}, then \"{}\"", ballot.at_due().choice));
    table.pair("due", at_due.unwrap_or_default());
    let mut parts = vec![table.render()];
    // An agent has written both: they must not look like the lines below them.
    parts.extend(asked.text.as_ref().map(|text| view::body("text", text)));
    parts.extend(asked.form.as_ref().map(|form| view::body("form", form.get())));
    let choice = ballot.choices.first().map_or("CHOICE", |choice| choice.name.as_str());
    let person = whose_turn(&ballot.silent());
    let subject = mesh.subjects().decision(&person, intent, wait.hop, &wait.name, choice);
    let form = asked.form.as_ref().filter(|_| ballot.needs_form(choice));
    let form = form.map(sample::of).unwrap_or_default();
    let flag = match form.is_empty() {
        true => String::new(),
        false => format!(" --form {}", shell_word(&form)),
    };
    let (choice, subject, body) = (shell_word(choice), shell_word(&subject), shell_word(&form));
    parts.push(format!(
        "to decide\n  baton approvals answer {intent} --as {person} --choice {choice}{flag}\n  nats pub {subject} {body}"
    ));
    view::paragraphs(parts)
}

/// Whom the lines are for: the user, where that is one who has not decided yet, else the first of these.
fn whose_turn(silent: &[String]) -> String {
    let user = crate::who::user().to_ascii_lowercase();
    let own = silent.iter().find(|person| **person == user);
    own.or(silent.first()).cloned().unwrap_or_else(|| NOBODY.to_owned())
}
