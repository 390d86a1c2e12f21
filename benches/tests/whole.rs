//! Every kind of measurement, small, on a real server. The speed here means nothing: tests are not built for speed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panic")]

use baton_bench::{Document, Metric, Options, run, table};
use clap::{Args as _, Command, FromArgMatches as _};

fn options(words: &[&str]) -> Options {
    let command = Options::augment_args(Command::new("bench").no_binary_name(true));
    Options::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

fn measured(words: &[&str]) -> Document {
    run(&options(words), &|_| {}).unwrap().expect("this is no worker")
}

#[test]
fn each_metric_comes_with_a_ratio_and_its_target() {
    let document = measured(&[
        "--workload",
        "w1,w2,w3",
        "--pairs",
        "2",
        "--intents",
        "300",
        "--samples",
        "20",
    ]);
    assert_eq!(document.reports.len(), 3);
    for report in &document.reports {
        assert_eq!(report.pairs.len(), 2);
        let first: Vec<&str> = report.pairs.iter().map(|pair| pair.first.as_str()).collect();
        assert_eq!(first, ["floor", "baton"], "who goes first alternates");
        for comparison in &report.comparisons {
            assert!(
                comparison.ratio.is_finite() || comparison.metric == Metric::ServerCpuUs,
                "{comparison:?}"
            );
            assert!(
                comparison.lowest <= comparison.highest || comparison.metric == Metric::ServerCpuUs,
                "{comparison:?}"
            );
        }
        let judged: Vec<Metric> = report
            .comparisons
            .iter()
            .filter(|c| c.met.is_some())
            .map(|c| c.metric)
            .collect();
        let timed = [vec![Metric::PerSecond], vec![Metric::P50Ms, Metric::P99Ms]];
        assert!(timed.contains(&judged), "{judged:?}");
    }
    let text = table(&document);
    assert!(text.contains("w2 relay of three") && text.contains("≥ 0.70"), "{text}");
}

#[test]
fn the_schedule_the_sizes_and_submissions_alone_run_too() {
    let words = [
        "--workload",
        "w4,w5,w8",
        "--pairs",
        "1",
        "--intents",
        "200",
        "--samples",
        "10",
        "--open",
        "1000",
    ];
    let document = measured(&words);
    let json = serde_json::to_value(&document).unwrap();
    let of = |workload: &str| {
        let reports = json["reports"].as_array().unwrap().iter();
        reports.filter(|report| report["workload"] == workload).count()
    };
    let intake = usize::from(cfg!(feature = "controller"));
    // Two larger sizes of each of two kinds for each side, and of a third for the floor alone.
    assert_eq!((of("w4"), of("w5"), of("w8")), (1, 1 + intake, 10));
}

#[test]
fn a_hop_with_memories_stands_beside_one_without_and_beside_the_floor() {
    let document = measured(&["--workload", "w13", "--pairs", "1", "--samples", "4", "--quick"]);
    let rows: Vec<(&str, &str)> = document
        .reports
        .iter()
        .map(|report| (report.what.as_str(), report.baseline.as_str()))
        .collect();
    let (given, own) = ("20 memories, the view is given", "20 memories, the hop makes the view");
    let assembly = ("assembly of 5,000 candidates", "");
    assert_eq!(
        rows,
        [(given, "w3"), (given, "floor"), (own, "w3"), (own, "floor"), assembly]
    );
    for report in document.reports.iter().filter(|report| !report.pairs.is_empty()) {
        let judged: Vec<Metric> = report
            .comparisons
            .iter()
            .filter(|c| c.met.is_some() && c.ratio.is_finite())
            .map(|c| c.metric)
            .collect();
        assert_eq!(judged, [Metric::P50Ms], "{report:?}");
    }
    let assembly = document.reports.last().unwrap();
    let p50 = assembly
        .facts
        .iter()
        .find(|fact| fact.what == "counts known, p50")
        .unwrap();
    assert!(p50.value.is_some_and(|ms| ms > 0.0) && p50.met.is_some(), "{p50:?}");
    let text = table(&document);
    assert!(
        text.contains("w13 20 memories") && text.contains("≤ 1.30") && text.contains("≤ 5.00"),
        "{text}"
    );
}

#[test]
fn one_side_alone_has_figures_and_no_ratios() {
    let document = measured(&[
        "--workload",
        "w1",
        "--pairs",
        "1",
        "--intents",
        "200",
        "--only",
        "baton",
    ]);
    let report = document.reports.first().unwrap();
    assert!(report.comparisons.is_empty() && report.pairs.is_empty());
    let rate = report
        .facts
        .iter()
        .find(|fact| fact.what == "baton per second")
        .unwrap();
    assert!(rate.value.is_some_and(|rate| rate > 1.0), "{rate:?}");
}
