//! Many writes that wait share one sync, on a server that syncs each write to disk; each keeps its own guard.

use baton_envelope::{Event, act};
use baton_jetstream::{Advanced, Committed, Decision, Error, Head, Known, Mesh};
use futures::future::join_all;

use crate::support::{TestServer, agent, connect, mesh_with_research, operator, submit};

/// How many writers are busy at once, and how often each writes: enough for both ways of writing to be measured.
const WRITERS: usize = 200;
const ROUNDS: usize = 12;

async fn syncing_server() -> TestServer {
    TestServer::builder().sync_interval("always").start().await
}

/// Whether the last record of an intent came in a batch, as the server says that it stands there.
async fn came_in_a_batch(server: &TestServer, id: &str) -> bool {
    let context = async_nats::jetstream::new(server.client().await);
    let ledger = context.get_stream("MESH_LEDGER").await.unwrap();
    let subject = format!("mesh.ledger.0.{id}");
    let last = ledger.get_last_raw_message_by_subject(&subject).await.unwrap();
    last.headers.get("Nats-Batch-Id").is_some()
}

async fn ticket_end(server: &TestServer, mesh: &Mesh) -> u64 {
    let context = async_nats::jetstream::new(server.client().await);
    let mut work = context.get_stream(mesh.subjects().work_stream(&agent())).await.unwrap();
    work.info().await.unwrap().state.last_sequence
}

/// How many tickets that stand in the work stream from a sequence on came in a batch.
async fn tickets_in_batches(server: &TestServer, mesh: &Mesh, from: u64) -> usize {
    let context = async_nats::jetstream::new(server.client().await);
    let work = context.get_stream(mesh.subjects().work_stream(&agent())).await.unwrap();
    let mut count = 0;
    for seq in from..=ticket_end(server, mesh).await {
        let ticket = work.get_raw_message(seq).await.unwrap();
        count += usize::from(ticket.headers.get("Nats-Batch-Id").is_some());
    }
    count
}

/// Writes to the ledger with many writers until both ways of writing were measured.
async fn keep_busy(mesh: &Mesh, name: &str) {
    join_all((0..WRITERS).map(async |n| {
        let mut head = submit(mesh, &format!("{name}-{n}")).await;
        for _ in 0..ROUNDS {
            head = note(mesh, &head).await.unwrap();
        }
    }))
    .await;
}

/// Writes what follows a head, `started` and then notes, if that head still stands; gives the present one if not.
async fn note(mesh: &Mesh, after: &Head) -> Result<Head, Box<Head>> {
    let (intent, by) = (&after.record.intent, operator());
    let written = mesh.advance(intent, &by, Known::Read(after), |now, _| {
        let Some(now) = now.filter(|now| now.seq == after.seq) else {
            return Ok(Decision::Nothing);
        };
        let draft = if after.record.event == Event::Submitted {
            act::start(now.snapshot, "w-1")
        } else {
            act::progress(now.snapshot, "note")
        };
        Ok::<_, Error>(draft?.into())
    });
    match written.await.unwrap() {
        Advanced::Committed(Committed { record, seq }) => Ok(Head::new((*record).clone(), seq)),
        Advanced::Unchanged(head) => Err(head.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_share_a_sync_and_each_stands_where_it_was_told() {
    let server = syncing_server().await;
    let mesh = mesh_with_research(&server).await;
    let writers = (0..WRITERS).map(async |n| {
        let mut head = submit(&mesh, &format!("busy-{n}")).await;
        let mut batches = 0_u32;
        for _ in 0..ROUNDS {
            let told = note(&mesh, &head).await.expect("nobody else writes it");
            head = mesh.head(&told.record.intent).await.unwrap().unwrap();
            // The sequence that the writer was told is where the server has this very record.
            assert_eq!((head.seq, head.record.id), (told.seq, told.record.id));
            batches += u32::from(came_in_a_batch(&server, told.record.intent.as_str()).await);
        }
        let history = mesh.history(&head.record.intent, 1).await.unwrap();
        assert_eq!(history.len(), ROUNDS + 1, "each record once");
        batches
    });
    let batches: u32 = join_all(writers).await.into_iter().sum();
    assert!(batches > 0, "no write of {} came in a batch", WRITERS * ROUNDS);

    // And one that finds nobody before it goes by itself.
    submit(&mesh, "alone").await;
    assert!(!came_in_a_batch(&server, "alone").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_does_not_hold_refuses_its_own_write_and_no_other() {
    let server = syncing_server().await;
    let mesh = mesh_with_research(&server).await;
    let writers = (0..WRITERS).map(async |n| {
        let mut head = submit(&mesh, &format!("mixed-{n}")).await;
        let first = head.clone();
        for _ in 0..ROUNDS {
            head = note(&mesh, &head).await.expect("the guard holds");
            // Every tenth writer lags behind: it writes after the first record, as a holder that froze would.
            if n % 10 == 0 {
                let now = note(&mesh, &first).await.expect_err("a stale guard was let through");
                assert_eq!(now.record.id, head.record.id);
            }
        }
        let history = mesh.history(&head.record.intent, 1).await.unwrap();
        assert_eq!(history.len(), ROUNDS + 1, "mixed-{n}");
    });
    join_all(writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_whose_id_is_known_is_dropped_and_the_others_of_its_group_stand() {
    let server = syncing_server().await;
    let mesh = mesh_with_research(&server).await;
    let (mut heads, mut in_batches) = (Vec::new(), 0);
    // Which way is taken is measured: a machine that is busy with other things may take a few rounds.
    for round in 0..20 {
        keep_busy(&mesh, &format!("busy-{round}")).await;
        heads = join_all((0..WRITERS).map(|n| {
            let mesh = &mesh;
            async move { submit(mesh, &format!("again-{round}-{n}")).await }
        }))
        .await;
        in_batches = tickets_in_batches(&server, &mesh, 1).await;
        if in_batches > 0 {
            break;
        }
    }
    assert!(in_batches > 0, "no ticket came in a batch");
    let tickets = ticket_end(&server, &mesh).await;
    for _ in 0..ROUNDS {
        // Settling may be repeated by anyone at any time.
        join_all(heads.iter().map(async |head| mesh.settle(head).await.unwrap())).await;
    }
    let context = async_nats::jetstream::new(server.client().await);
    let work = mesh.subjects().work_stream(&agent());
    let info = context.get_stream(&work).await.unwrap().get_info().await.unwrap();
    assert_eq!(info.state.messages, tickets, "one ticket for each intent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_no_batches_is_written_to_all_the_same() {
    let server = syncing_server().await;
    let mesh = mesh_with_research(&server).await;
    let context = async_nats::jetstream::new(server.client().await);
    let mut config = context
        .get_stream("MESH_LEDGER")
        .await
        .unwrap()
        .get_info()
        .await
        .unwrap()
        .config;
    config.allow_atomic_publish = false;
    context.update_stream(config).await.unwrap();
    // A connection that has learnt nothing yet.
    let mesh = {
        drop(mesh);
        connect(&server).await
    };
    let _routes = mesh.follow_routes().await.unwrap();
    // Once the ledger has refused a group, tickets are not grouped either, though their stream would take them: nothing
    // tells any more whether that pays.
    let mut in_batches = usize::MAX;
    for round in 0..20 {
        keep_busy(&mesh, &format!("plain-{round}")).await;
        let next = ticket_end(&server, &mesh).await + 1;
        join_all((0..WRITERS).map(|n| {
            let mesh = &mesh;
            async move { submit(mesh, &format!("later-{round}-{n}")).await }
        }))
        .await;
        assert_eq!(ticket_end(&server, &mesh).await + 1 - next, WRITERS as u64);
        in_batches = tickets_in_batches(&server, &mesh, next).await;
        if in_batches == 0 {
            break;
        }
    }
    assert_eq!(in_batches, 0);
}
