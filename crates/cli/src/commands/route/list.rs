//! `baton route list`: the version of each agent that takes new work.

use baton_envelope::Route;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

#[derive(Serialize)]
struct Document<'a> {
    routes: &'a [Route],
}

/// Lists them. Read from the bucket, so that it works without a controller too.
pub(crate) async fn run(app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let routes = mesh.all_routes().await?;
    app.output.show(&Document { routes: &routes }, || text(&routes))?;
    if routes.is_empty() {
        app.output
            .note("no agent has a route yet: the first worker of an agent makes one");
    }
    Ok(())
}

/// Routes as a table.
pub(super) fn text(routes: &[Route]) -> String {
    if routes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["AGENT", "ACTIVE", "CANARY", "SINCE", "BY"]);
    for route in routes {
        let canary = route.canary.as_ref();
        table.row([
            route.agent.to_string(),
            route.active.to_string(),
            canary.map_or_else(
                || "-".to_owned(),
                |canary| format!("{} {}", canary.version, canary.percent),
            ),
            route.updated_at.to_string(),
            route.updated_by.clone(),
        ]);
    }
    table.render()
}
