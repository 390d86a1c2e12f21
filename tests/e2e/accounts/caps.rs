//! The cap of an agent where accounts keep roles apart: an operator sets it, a worker spends of its own, and of no other.

use baton_envelope::budget::{Amount, Amounts, MeterName};
use baton_envelope::control::{CapCharge, SpendCap};

use super::{OPERATOR, Secured, VIEWER, connect_as};

fn charge(agent: &str, id: &str) -> SpendCap {
    SpendCap {
        agent: agent.parse().expect("a name"),
        // Whatever it says of itself.
        by: agent.to_owned(),
        settle: Vec::new(),
        grant: None,
        charge: Some(CapCharge {
            id: id.to_owned(),
            spent: Amounts::NONE.with(MeterName::Tokens, Amount::whole(7)),
        }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_spends_of_the_cap_of_its_own_agent_alone() {
    let mesh = Secured::start().await;
    let research = connect_as(&mesh.server, "research").await;
    let own = research
        .ask_controller(&charge("research", "1"))
        .await
        .expect("its own");
    assert!(!own.full && own.refused.is_none());
    let refused = research
        .ask_controller(&charge("code", "2"))
        .await
        .expect_err("another's");
    assert_eq!(refused.code(), "PERMISSION_DENIED", "{refused}");
    let person = connect_as(&mesh.server, OPERATOR).await;
    let refused = person
        .ask_controller(&charge("research", "3"))
        .await
        .expect_err("no worker");
    assert_eq!(refused.code(), "PERMISSION_DENIED", "{refused}");
    let (exit, said, _) = mesh
        .baton(VIEWER, &["agents", "budget", "research", "--cost", "5/day"])
        .await;
    assert!(exit == Some(4) && said.contains("PERMISSION_DENIED"), "{said}");
}
