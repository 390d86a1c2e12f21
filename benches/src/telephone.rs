//! `baton-bench telephone`: what is left of what the first agent knew when the last one needs it.
//!
//! Chains of four to seven simulated agents. The first knows eight constraints and forty facts, and the last needs one of the facts.
//! Between them everything goes through one of five carriers. Two are what people do without Baton: retell, or keep the last so many
//! tokens. Three are Baton's: the links, the assembly and the manifests are the product's own code, the store a map of bytes, in
//! one of them with some objects unreadable at each hop. No model is asked, so this measures the carrier and not a model: a fact
//! that is in the text counts as known.

mod baton;
mod plain;
mod story;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use self::story::Story;
use crate::error::BenchError;

/// How many tokens a view, or a text that is handed on, may have.
const BUDGET: u64 = 4_000;
/// Of a hundred items, how many a retelling loses.
const RETELLING_LOSES: u32 = 10;
/// Of a hundred objects, how many cannot be read at a hop.
const UNREADABLE: u32 = 5;
/// The fewest and the most agents of a chain.
const AGENTS: std::ops::RangeInclusive<u32> = 4..=7;
/// Of how many chains in a hundred Baton with unreadable objects may fail for want of context.
const MAY_FAIL: f64 = 6.0;

/// How the work is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Each agent tells the next, and loses a tenth.
    Retelling,
    /// The last tokens of all that was said.
    LastTokens,
    /// A view, and nothing else.
    View,
    /// A view, and what it lacks is recalled.
    ViewAndRecall,
    /// As before, with some objects unreadable at each hop.
    Unreadable,
}

impl Carrier {
    const ALL: [Self; 5] = [
        Self::Retelling,
        Self::LastTokens,
        Self::View,
        Self::ViewAndRecall,
        Self::Unreadable,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Retelling => "retelling, 10 % lost at each handoff",
            Self::LastTokens => "the last 4,000 tokens",
            Self::View => "Baton, trim, without recall",
            Self::ViewAndRecall => "Baton, trim, with recall",
            Self::Unreadable => "Baton, 5 % of the objects unreadable",
        }
    }
}

/// What one chain came to.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// The handoffs, and those after which all constraints were there, word by word.
    handoffs: u64,
    with_constraints: u64,
    /// Whether the last agent read the fact in what it was given.
    in_view: bool,
    /// Whether it had it then, or after it asked for it.
    had: bool,
    /// Whether somebody who looks at the chain sees that something was missing.
    flagged: bool,
    /// The tokens of all texts that agents were given, and the bytes that were handed on or stored.
    tokens: u64,
    bytes: u64,
}

/// What all chains of a carrier came to. Shares are in hundredths.
#[derive(Debug, Clone, Serialize)]
pub struct CarrierReport {
    /// The carrier.
    pub carrier: Carrier,
    /// Handoffs with all constraints.
    pub constraints: f64,
    /// Chains whose last agent read the fact in what it was given.
    pub in_view: f64,
    /// Chains whose last agent had it after all.
    pub had: f64,
    /// Chains that failed for want of it.
    pub failed: f64,
    /// Of these, those that say so.
    pub flagged: f64,
    /// The mean tokens of what an agent is given.
    pub tokens_per_hop: u64,
    /// The mean bytes that a hop hands on and stores.
    pub bytes_per_hop: u64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct TelephoneReport {
    /// The seed: the same one gives the same figures.
    pub seed: u64,
    /// The chains of each carrier.
    pub chains: u32,
    /// What they came to.
    pub carriers: Vec<CarrierReport>,
    /// What is missed of what Baton is to reach.
    pub missed: Vec<String>,
}

/// Hands on `chains` chains by each carrier.
///
/// # Errors
/// When a view cannot be made, which is a fault of this program.
pub fn telephone(chains: u32, seed: u64) -> Result<TelephoneReport, BenchError> {
    let mut carriers = Vec::new();
    for carrier in Carrier::ALL {
        // Of each carrier the same stories.
        let mut random = StdRng::seed_from_u64(seed);
        let mut all = Vec::with_capacity(chains as usize);
        for number in 0..chains {
            let story = Story::of(number, random.random_range(AGENTS), &mut random);
            let mut luck = StdRng::seed_from_u64(seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            all.push(match carrier {
                Carrier::Retelling => plain::retell(&story, &mut luck),
                Carrier::LastTokens => plain::last_tokens(&story),
                Carrier::View => baton::hand_on(&story, baton::Reader::View, &mut luck)?,
                Carrier::ViewAndRecall => baton::hand_on(&story, baton::Reader::Recalls, &mut luck)?,
                Carrier::Unreadable => baton::hand_on(&story, baton::Reader::Unlucky, &mut luck)?,
            });
        }
        carriers.push(summed(carrier, &all));
    }
    let missed = missed(&carriers);
    Ok(TelephoneReport {
        seed,
        chains,
        carriers,
        missed,
    })
}

fn summed(carrier: Carrier, all: &[Told]) -> CarrierReport {
    let count = |is: &dyn Fn(&Told) -> bool| all.iter().filter(|told| is(told)).count() as f64;
    let share = |part: f64, of: f64| if of > 0.0 { 100.0 * part / of } else { 100.0 };
    let chains = all.len() as f64;
    let handoffs: u64 = all.iter().map(|told| told.handoffs).sum();
    let kept: u64 = all.iter().map(|told| told.with_constraints).sum();
    let failed = count(&|told| !told.had);
    let mean = |of: &dyn Fn(&Told) -> u64| all.iter().map(of).sum::<u64>() / handoffs.max(1);
    CarrierReport {
        carrier,
        constraints: share(kept as f64, handoffs as f64),
        in_view: share(count(&|told| told.in_view), chains),
        had: share(count(&|told| told.had), chains),
        failed: share(failed, chains),
        flagged: share(count(&|told| !told.had && told.flagged), failed),
        tokens_per_hop: mean(&|told| told.tokens),
        bytes_per_hop: mean(&|told| told.bytes),
    }
}

/// What Baton is to reach, and did not.
fn missed(carriers: &[CarrierReport]) -> Vec<String> {
    let mut missed = Vec::new();
    let of_baton = [Carrier::View, Carrier::ViewAndRecall, Carrier::Unreadable];
    for report in carriers.iter().filter(|report| of_baton.contains(&report.carrier)) {
        let name = report.carrier.name();
        if report.constraints < 100.0 {
            missed.push(format!(
                "{name}: constraints at {:.1} % of the handoffs, not all",
                report.constraints
            ));
        }
        if report.carrier == Carrier::ViewAndRecall && report.failed > 0.0 {
            missed.push(format!("{name}: {:.1} % of the chains failed, not none", report.failed));
        }
        if report.carrier == Carrier::Unreadable && (report.failed >= MAY_FAIL || report.flagged < 100.0) {
            let text = format!(
                "{name}: {:.1} % of the chains failed and {:.1} % of these say so; below {MAY_FAIL} % and all",
                report.failed, report.flagged
            );
            missed.push(text);
        }
    }
    missed
}

/// The report as a table.
pub fn telephone_table(report: &TelephoneReport) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header([
        "CARRIER",
        "CONSTRAINTS",
        "FACT READ",
        "FACT HAD",
        "WITHOUT IT",
        "SAID SO",
        "TOKENS A HOP",
        "BYTES A HOP",
    ]);
    let share = |share: f64| format!("{share:.1} %");
    for one in &report.carriers {
        let said = if one.failed > 0.0 {
            share(one.flagged)
        } else {
            String::new()
        };
        table.add_row([
            one.carrier.name().to_owned(),
            share(one.constraints),
            share(one.in_view),
            share(one.had),
            share(one.failed),
            said,
            one.tokens_per_hop.to_string(),
            one.bytes_per_hop.to_string(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = format!(
        "{}\n\n{} chains of 4 to 7 simulated agents, seed {}; it measures the carrier, not a model",
        table.trim_fmt(),
        report.chains,
        report.seed
    );
    for missed in &report.missed {
        text.push_str(&format!("\nmissed: {missed}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carriers_come_to_what_they_must() {
        let report = telephone(100, 1).expect("told");
        assert_eq!(report.missed, Vec::<String>::new());
        let of = |carrier| {
            report
                .carriers
                .iter()
                .find(|one| one.carrier == carrier)
                .expect("there")
        };
        // 1 - 0.9^3 to 1 - 0.9^6, in the mean 37.3 %.
        let retold = of(Carrier::Retelling).failed;
        assert!((29.0..46.0).contains(&retold), "{retold}");
        assert!(of(Carrier::Retelling).constraints < 50.0);
        assert!(
            of(Carrier::LastTokens).failed > 50.0,
            "the facts come first, and fall out first"
        );
        let unread = of(Carrier::Unreadable);
        assert!(unread.failed > 0.0, "some must fail, or nothing was unreadable");
        assert!(unread.tokens_per_hop <= BUDGET);
        // The same seed, the same figures.
        let figures = || serde_json::to_string(&telephone(3, 1).expect("told")).expect("JSON");
        assert_eq!(figures(), figures());
    }
}
