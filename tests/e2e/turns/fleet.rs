//! Many keys before a fleet of processes, of which some are killed, and which is upgraded meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Program, SOON, assert_legal, ready};
use baton_e2e::gated::id;
use baton_envelope::Envelope;
use baton_testkit::eventually;
use futures::{StreamExt as _, stream};

use super::client;

/// How many keys there are and how many intents each has, where `ORDER_KEYS` and `ORDER_EACH` say nothing. The 100 keys
/// of 50 take a minute and are for `.ci/nightly`.
const KEYS: usize = 12;
const EACH: usize = 10;
/// How long all of it may take on a busy machine.
const LONG: Duration = Duration::from_secs(600);

/// A program that tells when it begins and ends with `key number`, in one file for all.
const LOGS: &str =
    "read line; echo \"b $line\" >> '{dir}/order'; sleep 0.01; echo \"e $line\" >> '{dir}/order'; echo \"$line\"";

fn number_of(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn keyed(mesh: &TestMesh, key: &str, number: usize) -> Envelope {
    let payload = serde_json::json!(format!("{key} {number}")).to_string();
    let mut envelope = mesh.envelope(&format!("{key}-{number}"), "work", &payload);
    envelope.order_key = Some(key.to_owned());
    envelope
}

/// Reads what the programs told of one key: each number begins when the one before has ended, and begins again only where its
/// process was killed.
fn in_order(key: &str, lines: &[(char, usize)], each: usize) -> usize {
    let (mut done, mut again) = (0, 0);
    let mut begun = None;
    for (place, (what, number)) in lines.iter().enumerate() {
        assert_eq!(
            *number, done,
            "{key}, line {place}: out of order, or two at a time: {lines:?}"
        );
        match what {
            'b' => {
                again += usize::from(begun == Some(*number));
                begun = Some(*number);
            }
            _ => {
                assert_eq!(begun, Some(*number), "{key}, line {place}: {lines:?}");
                // A process may be killed between its last line and its record: then the same begins once more.
                let next = lines.get(place + 1);
                done += usize::from(next.is_none_or(|(_, next)| next != number));
            }
        }
    }
    assert_eq!(done, each, "{key}: {lines:?}");
    again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_are_in_order_though_half_of_the_fleet_dies_in_a_rollout() {
    let (keys, each) = (number_of("ORDER_KEYS", KEYS), number_of("ORDER_EACH", EACH));
    let mesh = TestMesh::start().await;
    let program = Program::shell(LOGS);
    let worker = |name: &str, version: &str| {
        let flags = ["--concurrency", "8", "--max-attempts", "6"];
        program.worker_of(&mesh, ("work", version), name, &flags)
    };
    let mut fleet: Vec<_> = (0..4).map(|number| worker(&format!("old-{number}"), "1.0.0")).collect();
    for one in &fleet {
        ready(one).await;
    }
    mesh.until_version_is("work", "1.0.0", "active").await;
    let names: Vec<String> = (0..keys).map(|key| format!("key-{key}")).collect();
    // Several keys at once, each in its order.
    let submits = names.iter().map(|key| {
        let mesh = &mesh;
        async move {
            for number in 0..each {
                mesh.mesh
                    .submit(keyed(mesh, key, number), client("test"))
                    .await
                    .expect("submitted");
            }
        }
    });
    let submitting = stream::iter(submits).buffer_unordered(20).collect::<Vec<()>>();
    let told = || std::fs::read_to_string(program.dir().join("order")).unwrap_or_default();
    let until_ended = async |count: usize| {
        eventually(&format!("{count} have ended"), LONG, async || {
            let ended = told().lines().filter(|line| line.starts_with('e')).count();
            (ended >= count).then_some(()).ok_or(ended.to_string())
        })
        .await;
    };
    let all = keys * each;
    let happens = async {
        until_ended(all / 6).await;
        fleet[0].kill();
        let new: Vec<_> = (0..2).map(|number| worker(&format!("new-{number}"), "2.0.0")).collect();
        mesh.until_version_is("work", "2.0.0", "ready").await;
        until_ended(all / 3).await;
        mesh.start_rollout("work", "2.0.0", &[50]).await;
        until_ended(all / 2).await;
        fleet[1].kill();
        mesh.promote("work", true).await;
        new
    };
    let (_, new) = futures::future::join(submitting, happens).await;
    let intents: Vec<_> = names
        .iter()
        .flat_map(|key| (0..each).map(move |number| id(&format!("{key}-{number}"))))
        .collect();
    mesh.until_all_completed(intents.len(), LONG).await;
    let mut lines: BTreeMap<String, Vec<(char, usize)>> = BTreeMap::new();
    for line in told().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, key, number] = words[..] else {
            panic!("{line:?}")
        };
        let what = what.chars().next().expect("a word");
        let number = number.parse().expect("a number");
        lines.entry(key.to_owned()).or_default().push((what, number));
    }
    assert_eq!(lines.len(), keys);
    let again: usize = lines.iter().map(|(key, lines)| in_order(key, lines, each)).sum();
    println!("{all} intents of {keys} keys in order; {again} began once more");
    let last: Vec<_> = names.iter().map(|key| id(&format!("{key}-{}", each - 1))).collect();
    for history in mesh.histories(&last).await {
        assert_legal(&history);
    }
    for one in fleet.iter_mut().skip(2).chain(&mut { new }) {
        one.terminate();
        assert!(one.wait(SOON * 2).await.success());
    }
}
