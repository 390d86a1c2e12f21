//! How fast the projection is built: what is measured is printed, and only that all of it arrives is asserted.

use std::time::Duration;

use baton_envelope::{Event, Json};

use super::{Following, attempted, envelope, figures, file, mesh_of, submitted, version, write};
use crate::support::{TestServer, eventually, id, operator};

/// Prints how many records a second are applied. For a figure that says something:
/// `BATON_INTENTS=60000 cargo test --release -p baton-controller --test controller speed -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed_of_building_it_anew() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let client = server.client().await;
    let wanted = std::env::var("BATON_INTENTS").ok();
    let intents: u64 = wanted.map_or(2_000, |count| count.parse().unwrap());
    let payload = Json::of(&"x".repeat(500)).unwrap();
    let to = version("code", "1.0.0");
    let mut sent = 0;
    for number in 0..intents {
        let name = format!("i-{number}");
        let mut envelope = envelope(&mesh, &name, &to);
        envelope.payload = payload.clone();
        let first = baton_testkit::records::submitted(mesh.record_id(), mesh.now(), operator(), to.1.clone(), envelope);
        let subject = mesh.subjects().ledger(&id(&name));
        let mut records = vec![first];
        if number % 4 != 0 {
            records.push(figures(
                attempted(&mesh, &records[0], 1, Event::Started, mesh.now(), &to),
                1,
                None,
            ));
            records.push(figures(
                attempted(&mesh, &records[1], 1, Event::Completed, mesh.now(), &to),
                number % 900,
                Some("0.01"),
            ));
        }
        for record in records {
            let body = serde_json::to_vec(&record).unwrap();
            client.publish(subject.clone(), body.into()).await.unwrap();
            sent += 1;
        }
    }
    client.flush().await.unwrap();
    eventually("all records are stored", Duration::from_secs(120), async || match mesh
        .ledger_end()
        .await
        .map(|end| end.last_seq)
    {
        Ok(end) if end == sent => Ok(()),
        other => Err(format!("{other:?} of {sent}")),
    })
    .await;
    for place in [None, Some(file(&server))] {
        let what = if place.is_some() { "in a file" } else { "in memory" };
        let started = tokio::time::Instant::now();
        let following = Following::start(&mesh, place).await;
        following.projection.caught_up(Duration::from_secs(120)).await.unwrap();
        let took = started.elapsed();
        println!(
            "{what}: {sent} records in {took:?}, {:.0} a second",
            sent as f64 / took.as_secs_f64()
        );
        let started = tokio::time::Instant::now();
        let counts = following.projection.counts().await.unwrap();
        println!("counts of {:?} open intents in {:?}", counts[&to], started.elapsed());
        let mut changes = following.projection.changes();
        let mut waits = Vec::new();
        for number in 0..100 {
            let name = format!("{}-{number}", what.replace(' ', "-"));
            let seq = write(&mesh, &submitted(&mesh, &name, &to), 0).await;
            let started = tokio::time::Instant::now();
            changes.wait_for(|position| *position >= seq).await.unwrap();
            waits.push(started.elapsed());
        }
        waits.sort();
        println!(
            "seen after the writer's acknowledgement: median {:?}, worst {:?}",
            waits.get(50),
            waits.last()
        );
        following.stop().await;
        sent += 100;
    }
}
