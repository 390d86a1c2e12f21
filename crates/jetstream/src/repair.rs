//! Everything of a mesh that cannot be read, in one list, and the repair of each.
//!
//! Nothing here is needed for the mesh to go on: each reader passes over what it cannot read. It is for a person who wants to
//! know of it, and to have it gone.

use baton_envelope::control::{ControlError, RepairView, Unreadable};
use baton_envelope::rollout::{Act, restored};
use baton_envelope::{AgentName, Author, Breaker, Declaration, Role, Route, codes};

use crate::control::lease;
use crate::error::Error;
use crate::ledger::{INTENT, SUBJECT, nothing_to_repair, removed};
use crate::schedules;
use crate::server::{ControllerMesh, Mesh, Stored};

/// A kind of keys that stand in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Route,
    Declaration,
    Leader,
    Schedule,
    Breaker,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Route,
        Self::Declaration,
        Self::Leader,
        Self::Schedule,
        Self::Breaker,
    ];

    /// What the keys begin with.
    const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Declaration => "declaration",
            Self::Leader => lease::KEY,
            Self::Schedule => "schedule",
            Self::Breaker => "breaker",
        }
    }

    fn bucket(self, mesh: &Mesh) -> String {
        let subjects = mesh.subjects();
        match self {
            Self::Route => subjects.routes_bucket(),
            Self::Declaration => subjects.agents_bucket(),
            Self::Leader => subjects.control_bucket(),
            Self::Schedule => subjects.schedules_bucket(),
            Self::Breaker => subjects.breakers_bucket(),
        }
    }

    /// How a repair names a key of the bucket; `None` for one that is of another kind.
    fn named(self, key: &str) -> Option<String> {
        match self {
            Self::Route | Self::Declaration | Self::Schedule | Self::Breaker => Some(format!("{}/{key}", self.name())),
            Self::Leader => (key == lease::KEY).then(|| key.to_owned()),
        }
    }

    /// What is wrong with a value, if anything is.
    fn problem(self, mesh: &Mesh, key: &str, body: &[u8]) -> Option<String> {
        let other = |owner: String| (owner != key).then(|| format!("it says that it belongs to {owner}"));
        match self {
            Self::Route => match serde_json::from_slice::<Route>(body) {
                Ok(route) => other(route.agent.to_string()),
                Err(error) => Some(error.to_string()),
            },
            Self::Declaration => match serde_json::from_slice::<Declaration>(body) {
                Ok(one) => other(mesh.subjects().agent_key(&one.agent, &one.version)),
                Err(error) => Some(error.to_string()),
            },
            Self::Leader => lease::problem(body),
            Self::Schedule => schedules::problem(key, body),
            Self::Breaker => match serde_json::from_slice::<Breaker>(body) {
                Ok(one) => other(mesh.subjects().agent_key(&one.agent, &one.version)),
                Err(error) => Some(error.to_string()),
            },
        }
    }

    const fn meanwhile(self) -> &'static str {
        match self {
            Self::Route => "the last readable route counts; without one, work for the agent waits or is refused",
            Self::Declaration => "the version's next heartbeat writes it again",
            Self::Leader => "a controller takes the lead after five seconds",
            Self::Schedule => "it does not fire; what it would have fired is made up for by nobody",
            Self::Breaker => "the breaker counts as closed, and the leader writes the next one over it",
        }
    }
}

impl Mesh {
    /// Everything that cannot be read: keys of the buckets, and the last records of intents. The latter takes as long as it
    /// takes to list all intents.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn unreadable(&self) -> Result<Vec<Unreadable>, Error> {
        let mut found = self.unreadable_keys().await?;
        found.extend(self.unreadable_records().await?);
        found.sort();
        Ok(found)
    }

    /// The keys of the buckets whose value cannot be read: routes, declarations, the key of the leader, schedules, breakers.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn unreadable_keys(&self) -> Result<Vec<Unreadable>, Error> {
        let mut found = Vec::new();
        for kind in Kind::ALL {
            let bucket = kind.bucket(self);
            let newest = match self.bucket_state(&bucket).await {
                Ok(state) => state.newest,
                // A bucket that is missing is another finding.
                Err(Error::NoStream(_)) => continue,
                Err(error) => return Err(error),
            };
            for stored in newest.iter().filter(|stored| !stored.is_removal()) {
                found.extend(self.unreadable_key(kind, &bucket, stored));
            }
        }
        found.sort();
        Ok(found)
    }

    fn unreadable_key(&self, kind: Kind, bucket: &str, stored: &Stored) -> Option<Unreadable> {
        let key = stored.subject.strip_prefix(&format!("$KV.{bucket}."))?;
        Some(Unreadable {
            key: kind.named(key)?,
            seq: stored.seq,
            problem: kind.problem(self, key, &stored.body)?,
            meanwhile: kind.meanwhile().to_owned(),
            newer: false,
        })
    }
}

impl ControllerMesh {
    /// Repairs what stands under a key of the list: a route is restored from the last one that can be read; an intent goes on
    /// from its last readable record; what has neither is removed.
    ///
    /// # Errors
    /// When the key is none, can be read, or the server refuses.
    pub async fn repair(&self, key: &str, force: bool, by: &str) -> Result<RepairView, Error> {
        if key == lease::KEY {
            return self.repair_key(Kind::Leader, key, by).await;
        }
        match key.split_once('/') {
            Some((INTENT, id)) => {
                let intent = id.parse().map_err(|_| unknown(key))?;
                Box::pin(self.repair_intent(&intent, force, &Author::of(Role::Operator, by))).await
            }
            Some((SUBJECT, subject)) => self.remove_subject(key, subject, by).await,
            Some((kind, rest)) => match Kind::ALL.into_iter().find(|one| one.name() == kind) {
                Some(found @ (Kind::Route | Kind::Declaration | Kind::Schedule | Kind::Breaker)) => {
                    self.repair_key(found, rest, by).await
                }
                Some(Kind::Leader) | None => Err(unknown(key)),
            },
            None => Err(unknown(key)),
        }
    }

    async fn repair_key(&self, kind: Kind, name: &str, by: &str) -> Result<RepairView, Error> {
        let bucket = kind.bucket(self);
        let key = kind.named(name).unwrap_or_default();
        let found = self.bucket_entry(&bucket, name).await?;
        let Some(stored) = found.filter(|stored| !stored.is_removal()) else {
            return Err(nothing_to_repair(&key));
        };
        let Some(problem) = kind.problem(self, name, &stored.body) else {
            return Err(nothing_to_repair(&key));
        };
        if let (Kind::Route, Ok(agent)) = (kind, name.parse::<AgentName>())
            && let Some(done) = self.rewrite_route(&agent, stored.seq, &problem, by).await?
        {
            let removed = Vec::new();
            return Ok(RepairView { key, done, removed });
        }
        let subject = format!("$KV.{bucket}.{name}");
        self.purge_through(&format!("KV_{bucket}"), &subject, stored.seq)
            .await?;
        Ok(RepairView {
            key,
            done: "it is removed".to_owned(),
            removed: removed([(stored.seq, &*stored.body)]),
        })
    }

    /// Writes the last readable route over one that cannot be read, where there is one.
    async fn rewrite_route(
        &self,
        agent: &AgentName,
        over: u64,
        problem: &str,
        by: &str,
    ) -> Result<Option<String>, Error> {
        let history = self.route_history(agent).await?;
        let Some((revision, route)) = history.into_iter().next_back() else {
            return Ok(None);
        };
        let act = Act::new(by, self.now()).because(format!("revision {over} cannot be read ({problem})"));
        let value =
            serde_json::to_vec(&restored(&route, &act)).map_err(|error| Error::api("encoding a route", error))?;
        let store = self.bucket(self.subjects().routes_bucket()).await?;
        let written = store.update(agent.as_str(), value.into(), over).await;
        let written = written.map_err(|error| Error::api("restoring a route", error))?;
        let active = &route.active;
        Ok(Some(format!(
            "{active} is active again, as revision {revision} says: written as revision {written}"
        )))
    }

    /// Removes what stands on a subject of the ledger that no intent can have.
    async fn remove_subject(&self, key: &str, subject: &str, by: &str) -> Result<RepairView, Error> {
        if self.subjects().intent_of_ledger(subject).is_some()
            || !self.ledger_subjects().await?.iter().any(|one| one == subject)
        {
            return Err(nothing_to_repair(key));
        }
        let stream = self.subjects().ledger_stream();
        let last = self.direct_last_of(&stream, subject).await?;
        let Some(last) = last else {
            return Err(nothing_to_repair(key));
        };
        let there = self.stored_through(&stream, subject, last.seq).await?;
        self.announce_removal(by, &there).await?;
        self.purge_through(&stream, subject, last.seq).await?;
        Ok(RepairView {
            key: key.to_owned(),
            done: "what stood there is removed".to_owned(),
            removed: removed([(last.seq, &*last.body)]),
        })
    }

    /// Removes the messages of a subject, up to one.
    async fn purge_through(&self, stream: &str, subject: &str, last: u64) -> Result<(), Error> {
        let request = serde_json::json!({ "filter": subject, "seq": last + 1 });
        self.ask::<serde::de::IgnoredAny>(&format!("STREAM.PURGE.{stream}"), &request)
            .await??;
        Ok(())
    }
}

fn unknown(key: &str) -> Error {
    let message = format!("\"{key}\" is no key that could be repaired");
    let fix = "`baton repair list` shows the keys: route/AGENT, declaration/AGENT.VERSION, leader, schedule/NAME, \
               breaker/AGENT.VERSION, intent/ID";
    ControlError::new(codes::BAD_REQUEST, message, fix).into()
}
