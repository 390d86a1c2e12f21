//! `baton dead`, for parked work and for raw intents that were refused.

use baton_testkit::eventually;

use crate::harness::{Bench, LONG};

#[tokio::test(flavor = "multi_thread")]
async fn parked_work_is_listed_with_its_reason_and_completes_once_redriven() {
    let bench = Bench::start().await;
    let program = "test -e \"$HOME/fixed\" || { echo 'no such invoice' >&2; exit 1; }; cat";
    let _worker = bench
        .worker("billing", &["--exec", program, "--max-attempts", "1"])
        .await;
    let sent = bench
        .run(&["send", "billing", "{\"n\":7}", "--id", "inv-7", "--wait"])
        .await
        .exits(1);
    sent.says(&["parked", "no such invoice", "baton dead redrive inv-7"]);
    let list = bench.run(&["dead", "list"]).await.exits(0).stdout;
    assert!(list.contains("inv-7") && list.contains("no such invoice"), "{list}");
    let show = bench.run(&["dead", "show", "inv-7"]).await.exits(0).stdout;
    for part in ["parked", "billing@1.0.0", "no such invoice", "{\"n\":7}"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    std::fs::write(bench.home.path().join("fixed"), "").expect("written");
    let back = bench
        .run(&["dead", "redrive", "inv-7", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(back["results"][0]["outcome"], "redriven");
    bench
        .run(&["send", "billing", "{\"n\":7}", "--id", "inv-7", "--wait"])
        .await
        .exits(0);
    bench
        .run(&["dead", "redrive", "inv-7"])
        .await
        .exits(4)
        .says(&["inv-7", "completed"]);
    bench.run(&["dead", "redrive", "inv-8"]).await.exits(3).says(&["inv-8"]);
    bench
        .run(&["dead", "show", "inv-7"])
        .await
        .exits(4)
        .says(&["neither parked nor rejected"]);
    bench
        .run(&["dead", "redrive", "--all"])
        .await
        .exits(0)
        .says(&["nothing is parked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_raw_intent_keeps_its_body_and_is_published_again() {
    let bench = Bench::start().await;
    let client = bench.server.client().await;
    client
        .publish("mesh.intent.late", "hello {broken".into())
        .await
        .expect("published");
    client.flush().await.expect("flushed");
    let dead = eventually("a rejected record", LONG, async || {
        let list = bench.run(&["dead", "list", "--output", "json"]).await.exits(0).json();
        list["dead"][0]["intent"]
            .as_str()
            .map(str::to_owned)
            .ok_or(list.to_string())
    })
    .await;
    let show = bench.run(&["dead", "show", &dead]).await.exits(0).stdout;
    for part in ["rejected", "mesh.intent.late", "hello {broken"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    // A new intent each time: so `--all` leaves it alone.
    bench
        .run(&["dead", "redrive", "--all"])
        .await
        .exits(0)
        .says(&["nothing is parked"]);
    let _worker = bench.worker("late", &["--exec", "cat"]).await;
    let back = bench
        .run(&["dead", "redrive", &dead, "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(back["results"][0]["outcome"], "republished");
    let again = back["results"][0]["new_intent"].as_str().expect("id").to_owned();
    eventually("its end", LONG, async || {
        let run = bench.run(&["intents", "get", &again]).await;
        if run.stdout.contains("result\n  hello {broken") {
            Ok(())
        } else {
            Err(format!("{run:?}"))
        }
    })
    .await;
}
