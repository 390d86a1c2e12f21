//! Samples of children.

use baton_envelope::budget::{OwedTopUp, Share};
use baton_envelope::*;

use super::{NOW, agent, full_amounts, full_envelope, intent, json};

/// A call with three children, two of which have ended.
pub(crate) fn full_child_set() -> ChildSet {
    ChildSet {
        hop: 3,
        name: "research".to_owned(),
        count: 3,
        join: JoinRule::Some,
        need: Some(2),
        detach: true,
        seq: Some(16),
        ended: "BQ".to_owned(),
        completed: 1,
        shares: vec![full_share()],
        owed: vec![full_owed()],
        topped: Some("0123456789ab".to_owned()),
        extra: Extra::new(),
    }
}

/// What each of three children has.
pub(crate) fn full_share() -> Share {
    serde_json::from_str(r#"{"count":3,"amounts":{"tokens":400}}"#).expect("a share")
}

/// What one of them is owed.
pub(crate) fn full_owed() -> OwedTopUp {
    serde_json::from_str(r#"{"index":1,"id":"top-1","amounts":{"tokens":50}}"#).expect("a debt")
}

/// What is asked of three others, with every field set.
pub(crate) fn full_children() -> Children {
    let child = Child {
        to: Some(agent("qa")),
        kind: Some("page.check.v1".to_owned()),
        payload: json("{\"page\":1.50}"),
        payload_encoding: Some("base64".to_owned()),
        priority: Some(Priority::new(8).expect("in range")),
        deadline: Some(NOW),
        budget: Some(Box::new(full_amounts())),
        extra: Extra::new(),
    };
    Children {
        to: Some(agent("code")),
        kind: Some("page.write.v1".to_owned()),
        need: Some(2),
        detach: true,
        context: Some(json("{\"links\":2}")),
        result_refs: true,
        ..Children::new(vec![child.clone(), child.clone(), child], JoinRule::Some)
    }
}

pub(crate) fn full_child_end() -> ChildEnd {
    ChildEnd {
        index: 2,
        id: Some(IntentId::of_child(&intent(), 3, "research", 2)),
        state: "failed".to_owned(),
        code: Some("NO_WAY".to_owned()),
        seq: 21,
        spent: Some(Box::new(full_amounts())),
        overrun: Some(Box::new(full_amounts())),
        extra: Extra::new(),
    }
}

pub(crate) fn full_onward() -> Onward {
    Onward {
        to: Some(agent("report")),
        kind: Some("article.report.v1".to_owned()),
        history: full_envelope().history.pop(),
        note: Some("five look for otters".to_owned()),
        cost: Some(json("0.02")),
        extra: Extra::new(),
    }
}

/// What each receiver of a broadcast gets, with every field set.
pub(crate) fn full_broadcast() -> Broadcast {
    Broadcast {
        channel: "news".parse().expect("channel"),
        named: true,
        kind: Some("news.weather.v1".to_owned()),
        payload: json("{\"rain\":1.50}"),
        payload_encoding: Some("base64".to_owned()),
        pinning: Some(Pinning::Chain),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        from: Some("shop".to_owned()),
        extra: Extra::new(),
    }
}

pub(crate) fn full_children_done() -> ChildrenDone {
    ChildrenDone {
        hop: 3,
        name: "research".to_owned(),
        ends: vec![full_child_end()],
        extra: Extra::new(),
    }
}
