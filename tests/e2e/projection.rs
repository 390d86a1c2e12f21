//! The projection is a cache: whatever happens to its file, Baton reports correctly what holds a version, and reports a
//! version drained only when it is.

use std::fs;
use std::path::{Path, PathBuf};

use baton_e2e::TestMesh;
use baton_e2e::chaos::{SOON, logged};
use baton_e2e::rolling::{AGENT, NEW, OLD, Stage};
use baton_testkit::ProcessGuard;
use tempfile::TempDir;

/// A controller must lead before it declares a version drained. The previous one was killed, so its lease (5 s) has to
/// run out first.
const NEW_LEADER: std::time::Duration = std::time::Duration::from_secs(12);

/// The only controller of a mesh, in its own process.
fn controller(mesh: &TestMesh, name: &str, file: &Path) -> ProcessGuard {
    let mut command = mesh.baton(&["controller", "--projection"]);
    command.arg(file).env("BATON_LOG", "info,async_nats=off");
    ProcessGuard::spawn(name, command, file.parent().expect("a folder"))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Overwrites a part of a file, from a share of its length on, with garbage.
fn scribble(file: &Path, from: (usize, usize)) {
    let mut bytes = fs::read(file).expect("the file");
    let start = bytes.len() * from.0 / from.1;
    for byte in bytes.iter_mut().skip(start).take(6000) {
        *byte ^= 0x5a;
    }
    fs::write(file, bytes).expect("written");
}

/// One way to damage a file between two runs: its name, and the act.
type Damage = (&'static str, Box<dyn Fn(&Path) + Send>);

fn damages(old: Vec<(PathBuf, Vec<u8>)>) -> Vec<Damage> {
    vec![
        (
            "text",
            Box::new(|file| fs::write(file, "no database").expect("written")),
        ),
        ("its beginning", Box::new(|file| scribble(file, (0, 1)))),
        ("its middle", Box::new(|file| scribble(file, (1, 2)))),
        ("its log", Box::new(|file| scribble(&beside(file, "-wal"), (1, 3)))),
        (
            "its log is gone",
            Box::new(|file| fs::remove_file(beside(file, "-wal")).expect("removed")),
        ),
        (
            "cut short",
            Box::new(|file| {
                let bytes = fs::read(file).expect("the file");
                fs::write(file, bytes.get(..bytes.len() / 2).expect("half")).expect("written");
            }),
        ),
        ("gone", Box::new(|file| fs::remove_file(file).expect("removed"))),
        (
            "of yesterday",
            Box::new(move |_| {
                for (file, bytes) in &old {
                    fs::write(file, bytes).expect("written");
                }
            }),
        ),
    ]
}

/// Would fail if a damaged or older file were trusted: work missing from it would not be reported, and 1.0.0 would be
/// drained under that work; work that is over would hold 1.0.0 forever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_projection_is_built_anew_and_the_drain_stays_right() {
    let (mesh, stage, dir) = (
        TestMesh::start_without_controller().await,
        Stage::default(),
        TempDir::new().expect("a folder"),
    );
    let file = dir.path().join("projection.db");
    let mut run = controller(&mesh, "controller-0", &file);
    let _old = stage.code(&mesh, OLD).await;
    mesh.until_state(OLD, "active", SOON).await;
    // Work that was open once: in an old file it still is.
    let done = mesh.submit("done", AGENT, "\"quick\"").await;
    mesh.until(&done, "completed", SOON).await;
    run.kill();
    let before: Vec<(PathBuf, Vec<u8>)> = ["", "-wal"]
        .map(|suffix| beside(&file, suffix))
        .into_iter()
        .filter_map(|file| Some((file.clone(), fs::read(file).ok()?)))
        .collect();

    run = controller(&mesh, "controller-1", &file);
    let intent = mesh.submit("running", AGENT, "\"wait\"").await;
    let _new = stage.code(&mesh, NEW).await;
    mesh.roll_out().await;
    mesh.held(OLD, "running", &intent).await;
    for (n, (what, damage)) in damages(before).into_iter().enumerate() {
        run.kill();
        assert_eq!(mesh.state(OLD).await, "draining");
        damage(&file);
        run = controller(&mesh, &format!("controller-{}", n + 2), &file);
        logged(&run, "controller started").await;
        println!("damaged: {what}");
        mesh.held(OLD, "running", &intent).await;
    }
    // It leads in time, and still trusts what it should.
    logged(&run, "this controller leads").await;
    mesh.stays(OLD, &["draining"]).await;

    // The intent ends while there is no controller, and the file says that it is open.
    run.kill();
    stage.open();
    mesh.until(&intent, "completed", SOON).await;
    assert_eq!(mesh.state(OLD).await, "draining");
    let _run = controller(&mesh, "controller-last", &file);
    let took = mesh.until_state(OLD, "drained", NEW_LEADER).await;
    println!("drained {} ms after the start of the last controller", took.as_millis());
    mesh.assert_drained_was_true(OLD).await;
    mesh.retires(OLD).await;
}
