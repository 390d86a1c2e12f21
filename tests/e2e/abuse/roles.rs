//! The roles, and what each may do: by hand, so that a grant too many is seen.

use baton_access::{Kind, Layout};
use baton_e2e::accounts::access;
use baton_testkit::Headers;

use super::again;
use super::attempts::EVIL;

/// A role, by a user that has it.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) user: &'static str,
    /// What it may write itself: its right, whatever comes of it (docs/security.md, last column).
    writes: &'static [&'static str],
    /// What it may ask controllers and JetStream.
    asks: &'static [&'static str],
}

const SHOP: Role = Role {
    user: "shop",
    writes: &[
        "mesh.intent.research",
        "mesh.ask.research",
        "mesh.capability.tests",
        "mesh.channel.news",
    ],
    asks: &["$JS.API.INFO"],
};
const RESEARCH: Role = Role {
    user: "research",
    // On any intent, and for any agent: it cannot be kept from that.
    writes: &[
        "mesh.ledger.0.*",
        "mesh.work.*.*.*",
        "mesh.signal.*.*",
        "mesh.context.*.*",
        "mesh.memory.research.*",
        "mesh.control.caps.*",
    ],
    asks: &[
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.MESH_LEDGER",
        "$JS.API.DIRECT.GET.MESH_LEDGER",
        "$JS.API.DIRECT.GET.MESH_LEDGER.mesh.ledger.0.evil",
        "$JS.API.STREAM.MSG.GET.MESH_LEDGER",
        "$JS.API.STREAM.INFO.MESH_ARCHIVE",
        "$JS.API.DIRECT.GET.MESH_ARCHIVE",
        "$JS.API.DIRECT.GET.KV_MESH_ROUTES.$KV.MESH_ROUTES.code",
        "$JS.API.CONSUMER.MSG.NEXT.MESH_WORK_research.1_0_0_p4-7",
        "mesh.control.archive.find",
        "mesh.control.memory.search",
        "mesh.control.caps.spend",
        "$SRV.PING",
    ],
};
const VIC: Role = Role {
    user: "vic",
    writes: &[],
    asks: &[
        "$JS.API.STREAM.LIST",
        "$JS.API.DIRECT.GET.MESH_LEDGER",
        "$JS.API.DIRECT.GET.MESH_LEDGER.mesh.ledger.0.evil",
        "$JS.API.STREAM.MSG.GET.MESH_LEDGER",
        "$JS.API.DIRECT.GET.KV_MESH_CONTROL.$KV.MESH_CONTROL.leader",
        "mesh.control.whoami",
        "mesh.control.rollout.status",
        "mesh.control.memory.search",
    ],
};
const BEA: Role = Role {
    user: "bea",
    writes: &["mesh.signal.*.*", "mesh.decide.bea.*.*.*.*"],
    ..VIC
};
const ADA: Role = Role {
    user: "ada",
    writes: &[
        "mesh.signal.*.*",
        "mesh.decide.ada.*.*.*.*",
        "mesh.intent.*",
        "mesh.ask.*",
        "mesh.capability.*",
        "mesh.channel.*",
        "mesh.context.*.*",
        "mesh.memory.*.*",
    ],
    ..VIC
};
const MAX: Role = Role {
    user: "max",
    writes: &[
        "mesh.signal.*.*",
        "mesh.decide.max.*.*.*.*",
        "mesh.intent.*",
        "mesh.ask.*",
        "mesh.capability.*",
        "mesh.channel.*",
        "mesh.context.*.*",
        "mesh.memory.*.*",
    ],
    ..VIC
};

/// It may do everything in the mesh, but have controllers change something in nobody's name.
pub(super) const CONTROLLER: Role = Role {
    user: "controller",
    writes: &[],
    asks: &[],
};

/// All but the controllers, who may do everything.
pub(super) const ROLES: &[Role] = &[SHOP, RESEARCH, VIC, BEA, ADA, MAX];

/// A request that the role may make, and that changes nothing.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) subject: String,
    pub(super) headers: Headers,
    pub(super) body: String,
}

/// What somebody has stored: the user, the subject and the body.
pub(super) type Seed = (&'static str, &'static str, &'static str);

/// What is stored once by each, one of each subject that it may write, so that the same again is answered and not stored.
pub(super) const SEEDS: &[Seed] = &[
    ("shop", "mesh.intent.research", "otters"),
    ("shop", "mesh.capability.tests", EVIL),
    ("shop", "mesh.channel.news", EVIL),
    ("research", "mesh.ledger.0.evil", EVIL),
    ("research", "mesh.work.code.1_0_0.p5", EVIL),
    ("research", "mesh.signal.order-shop.go", EVIL),
    ("bea", "mesh.signal.order-shop.go", EVIL),
    ("bea", "mesh.decide.bea.order-shop.1.gate.approve", EVIL),
    ("ada", "mesh.intent.research", "otters"),
    ("ada", "mesh.capability.tests", EVIL),
    ("ada", "mesh.channel.news", EVIL),
    ("ada", "mesh.signal.order-shop.go", EVIL),
    ("ada", "mesh.decide.ada.order-shop.1.gate.approve", EVIL),
    ("max", "mesh.intent.research", "otters"),
    ("max", "mesh.capability.tests", EVIL),
    ("max", "mesh.channel.news", EVIL),
    ("max", "mesh.signal.order-shop.go", EVIL),
    ("max", "mesh.decide.max.order-shop.1.gate.approve", EVIL),
];

impl Role {
    /// Whether it may send this at all.
    pub(super) fn may(&self, subject: &str) -> bool {
        let verbs: &[&str] = match self.user {
            "ada" => &[
                "mesh.control.agents.*",
                "mesh.control.approvals.*",
                "mesh.control.archive.*",
                "mesh.control.channels.*",
                "mesh.control.intents.*",
                "mesh.control.rollout.*",
                "mesh.control.route.*",
                "mesh.control.schedules.*",
                "mesh.control.work.*",
            ],
            "max" | "controller" => &["mesh.control.*.*"],
            _ => &[],
        };
        self.writes(subject) || verbs.iter().any(|verb| matches(verb, subject))
    }

    /// Whether it may have this stored, or it is its own inbox.
    pub(super) fn writes(&self, subject: &str) -> bool {
        subject.starts_with(&format!("_INBOX_{}.", self.user))
            || self.writes.iter().any(|pattern| matches(pattern, subject))
    }

    /// Whether this is what it has stored, as it arrives.
    pub(super) fn has_sent(&self, subject: &str, payload: &[u8]) -> bool {
        let rest = subject.strip_prefix(&format!("mesh.from.{}.", self.user));
        let own = rest.map(|rest| format!("mesh.{rest}"));
        let mut seeds = self.seeds();
        own.is_some_and(|own| seeds.any(|(_, subject, body)| *subject == own && body.as_bytes() == payload))
    }

    /// Where it may have something stored.
    pub(super) fn stored(&self) -> Vec<&'static str> {
        self.seeds().map(|(_, subject, _)| *subject).collect()
    }

    fn seeds(&self) -> impl Iterator<Item = &'static Seed> {
        let own = self.user;
        SEEDS.iter().filter(move |(user, ..)| *user == own)
    }

    /// Whether controllers hear who it is.
    pub(super) fn is_person(&self) -> bool {
        self.asks.contains(&"mesh.control.whoami")
    }

    /// Whether the workers in its own account listen there: what they are told from within goes no further.
    pub(super) fn is_heard_at_home(&self, subject: &str) -> bool {
        self.user == "research"
            && ["mesh.route.*", "mesh.load"]
                .iter()
                .any(|pattern| matches(pattern, subject))
    }

    /// The subjects that it imports by their full names.
    pub(super) fn literals(&self) -> Vec<String> {
        let layout = Layout::of(&access());
        let account = layout.accounts.into_iter().find(|account| account.name == self.user);
        let imports = account.expect("an account").imports.into_iter();
        let services = imports.filter(|import| import.kind != Kind::Stream);
        let local = services.map(|import| import.local.unwrap_or(import.subject));
        local.filter(|subject| !subject.contains(['*', '>'])).collect()
    }

    /// Everything that has an answer.
    pub(super) fn asks(&self) -> Vec<Ask> {
        let stored = self.seeds().map(|(user, subject, body)| Ask {
            subject: (*subject).to_owned(),
            headers: again(user, subject),
            body: (*body).to_owned(),
        });
        let asked = self.asks.iter().map(|subject| Ask {
            subject: (*subject).to_owned(),
            headers: Headers::new(),
            body: body_of(subject).to_owned(),
        });
        stored.chain(asked).chain(self.agent()).collect()
    }

    /// What it may ask an agent: whose answer is there, so that nothing is stored.
    fn agent(&self) -> Option<Ask> {
        let (user, _, body) = self.seeds().find(|(_, subject, _)| subject.contains(".intent."))?;
        let mut headers = Headers::new();
        headers.insert("Baton-Intent", format!("order-{user}"));
        Some(Ask {
            subject: "mesh.ask.research".to_owned(),
            headers,
            body: (*body).to_owned(),
        })
    }
}

fn body_of(subject: &str) -> &'static str {
    match subject {
        "$JS.API.DIRECT.GET.MESH_LEDGER" | "$JS.API.STREAM.MSG.GET.MESH_LEDGER" => {
            r#"{"last_by_subj":"mesh.ledger.0.evil"}"#
        }
        "$JS.API.DIRECT.GET.MESH_ARCHIVE" => r#"{"seq":1}"#,
        "$JS.API.CONSUMER.MSG.NEXT.MESH_WORK_research.1_0_0_p4-7" => r#"{"batch":1,"no_wait":true}"#,
        "mesh.control.archive.find" => r#"{"intent":"evil"}"#,
        "mesh.control.memory.search" => r#"{"words":"otters"}"#,
        "mesh.control.rollout.status" => r#"{"agent":"code"}"#,
        "mesh.control.caps.spend" => r#"{"agent":"research","by":"research"}"#,
        "mesh.control.whoami" => "{}",
        _ => "",
    }
}

/// Whether a subject is one of a pattern's.
fn matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), subject.split('.').collect());
    pattern.len() == subject.len() && pattern.iter().zip(&subject).all(|(one, is)| *one == "*" || one == is)
}
