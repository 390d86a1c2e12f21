//! `baton dev`: a mesh on this machine, until Ctrl-C.

use baton_agent::{Guard, shutdown_signal};
use baton_controller::{Controller, ControllerConfig};
use baton_embedded::{Finder, RunningServer, ServerOptions};
use baton_jetstream::{Limits, Target};
use serde::Serialize;

use crate::app::App;
use crate::commands::local::DevArgs;
use crate::error::CliError;

/// What runs, as a document.
#[derive(Serialize)]
struct Document<'a> {
    url: &'a str,
    data: String,
    nats_server: String,
    namespace: &'a str,
}

/// Runs until it is told to stop; the data stays.
pub(crate) async fn run(args: DevArgs, app: &App) -> Result<(), CliError> {
    let output = app.output;
    let binary = Finder::from_process().nats_server(&|line| output.note(line))?;
    let mut options = ServerOptions::new(binary.path.clone(), args.dir.clone());
    options.port = Some(args.port);
    options.name = Some("baton-dev".to_owned());
    let mut server = RunningServer::start(options)?;
    // Or the server would be left behind with its port when this process is killed.
    let guard = Guard::default();
    let watch = match server.pid() {
        Some(id) => Some(guard.watch_process(id)?),
        None => None,
    };
    let url = server.url();
    let target = Target {
        name: "baton dev".to_owned(),
        screened: true,
        namespace: app.config.connection.namespace.clone(),
        bounds: app.config.controller.bounds(),
        signing: app.signing(),
        ..Target::at(url.clone())
    };
    let mesh = target.connect().await?;
    let projection = args.projection(app.config.controller.projection.as_ref());
    let config = ControllerConfig {
        projection: Some(projection),
        limits: Limits {
            archive_max_age: app.config.archive.max_age.0,
            bounds: app.config.controller.bounds(),
            signatures: app.config.connection.signatures,
            ..Limits::default()
        },
        archive: (&app.config.archive).into(),
        breaker: app.config.controller.breaker(),
        bands: app.config.connection.bands.into(),
        ..ControllerConfig::default()
    };
    // Made before anything is said, so that the first thing that is tried finds the mesh complete.
    mesh.ensure_topology(config.limits).await?;
    let document = Document {
        url: &url,
        data: args.dir.display().to_string(),
        nats_server: binary.path.display().to_string(),
        namespace: mesh.subjects().namespace().as_str(),
    };
    output.stream(&document, || welcome(&document))?;
    let ended = Controller::new(mesh, config).run_until(shutdown_signal()).await;
    output.note("stopping; the data stays");
    tokio::task::block_in_place(|| server.terminate())?;
    if let Some(watch) = watch {
        watch.gone();
    }
    Ok(ended?)
}

fn welcome(document: &Document<'_>) -> String {
    let Document {
        url, data, namespace, ..
    } = document;
    // The default address needs no flag: shorter lines to type.
    let (baton, nats) = if *url == "nats://127.0.0.1:4222" {
        ("baton".to_owned(), "nats".to_owned())
    } else {
        (format!("baton --server {url}"), format!("nats --server {url}"))
    };
    format!(
        "Baton is running at {url}, data in {data}. Ctrl-C stops it.\n\n\
         Three things to try, each in another terminal:\n\n  \
         1. an agent:     {baton} worker --agent shout --version 1.0.0 --exec 'tr a-z A-Z'\n  \
         2. some work:    {baton} send shout 'hello' --wait\n     \
            or with NATS: {nats} pub {namespace}.intent.shout 'hello'\n  \
         3. its history:  {baton} intents watch\n"
    )
}
