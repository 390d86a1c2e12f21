//! What commands printed, as one text that is the same in every run: what differs from run to run is named instead.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::harness::Run;

/// Keys of JSON documents whose values are measured, told by heartbeats or counted by the server, and differ from run to run.
const MEASURED: [&str; 8] = [
    "seq",
    "took_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "eta_seconds",
    "behind",
    "busy",
];
/// Words before which a number is an amount that differs from run to run.
const AMOUNTS: [&str; 10] = [
    " bytes",
    " consumers",
    " of [n] consumers",
    " streams",
    " connections",
    " of [n] connections",
    " subscriptions",
    " slow clients",
    " of 8192 waiting pulls",
    " ms",
];

/// The words of a command line, parted by spaces; a word in single quotes may hold some.
pub(crate) fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace()),
            _ => words.push(part),
        }
    }
    words
}

/// The transcript of some commands.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
    /// Texts of this run and what stands for them.
    known: Vec<(String, &'static str)>,
    ids: HashMap<String, usize>,
    /// Whether amounts are left out too.
    without_amounts: bool,
}

impl Transcript {
    /// A transcript in which each of these texts is replaced by its name.
    pub(crate) fn new(known: &[(&str, &'static str)]) -> Self {
        let mut known: Vec<_> = known.iter().map(|(text, name)| ((*text).to_owned(), *name)).collect();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        known.push((format!("@{host}"), "@[host]"));
        // "Connection refused" has another number on each system.
        known.extend(["111", "61"].map(|number| (format!("os error {number})"), "os error [refused])")));
        Self {
            known,
            ..Self::default()
        }
    }

    /// Leaves out amounts that the server counts.
    pub(crate) fn without_amounts(mut self) -> Self {
        self.without_amounts = true;
        self
    }

    /// Writes down what a command line came to.
    pub(crate) fn add(&mut self, line: &str, run: &Run) {
        let line = self.redacted(&format!("$ baton {line}"));
        let (stdout, stderr) = (self.redacted(&run.stdout), self.redacted(&run.stderr));
        self.text.push_str(&line);
        self.text.push_str(&stdout);
        for line in stderr.lines() {
            writeln!(self.text, "! {line}").unwrap();
        }
        writeln!(self.text, "exit {}\n", run.code).unwrap();
    }

    /// Compares it with what was accepted under this name.
    #[track_caller]
    pub(crate) fn is(self, name: &str) {
        insta::with_settings!({
            snapshot_path => "snapshots",
            prepend_module_to_snapshot => false,
            omit_expression => true,
            description => "`! ` begins a line of stderr.",
        }, {
            insta::assert_snapshot!(name, self.text);
        });
    }

    fn redacted(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (known, name) in &self.known {
            text = text.replace(known, name);
        }
        let mut lines = String::new();
        for line in text.lines() {
            let line = self.without_ids_and_times(line);
            let line = measured_left_out(&line);
            let line = match self.without_amounts {
                true => amounts_left_out(&line),
                false => line,
            };
            lines.push_str(columns_closed(&line).trim_end());
            lines.push('\n');
        }
        lines
    }

    /// Ids keep their identity: the same one has the same number in all of a transcript.
    fn without_ids_and_times(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        let mut before = ' ';
        while let Some(next) = rest.chars().next() {
            let begins = !before.is_ascii_alphanumeric();
            let length = if !begins {
                None
            } else if let Some(length) = matches(rest, TIME).or_else(|| matches(rest, TIME_OF_LOG)) {
                out.push_str("[time]");
                Some(length)
            } else if let Some(length) = matches(rest, UUID) {
                let count = self.ids.len() + 1;
                let number = *self.ids.entry(rest[..length].to_owned()).or_insert(count);
                write!(out, "[id {number}]").unwrap();
                Some(length)
            } else if let Some(length) = matches(rest, INSTANCE) {
                out.push_str("[worker]");
                Some(length)
            } else {
                ["[host]:", "controller-"].iter().find_map(|named| {
                    let digits = rest
                        .strip_prefix(named)?
                        .chars()
                        .take_while(char::is_ascii_digit)
                        .count();
                    (digits > 0).then(|| {
                        out.push_str(named);
                        out.push_str("[pid]");
                        named.len() + digits
                    })
                })
            };
            let length = length.unwrap_or_else(|| {
                out.push(next);
                next.len_utf8()
            });
            before = rest[..length].chars().next_back().unwrap_or(' ');
            rest = &rest[length..];
        }
        out
    }
}

// `d` stands for a digit, `x` for a digit of a hexadecimal number, everything else for itself.
const TIME: &str = "dddd-dd-ddTdd:dd:dd.dddZ";
const TIME_OF_LOG: &str = "dddd-dd-ddTdd:dd:dd.ddddddZ";
const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const INSTANCE: &str = "xxxxxxxxxx";

/// The length of the pattern, if the text begins with it and the word ends there.
fn matches(text: &str, pattern: &str) -> Option<usize> {
    let mut chars = text.chars();
    let fits = pattern.chars().all(|wanted| {
        chars.next().is_some_and(|found| match wanted {
            'd' => found.is_ascii_digit(),
            'x' => found.is_ascii_digit() || ('a'..='f').contains(&found),
            other => found == other,
        })
    });
    let ends = !chars.next().is_some_and(|next| next.is_ascii_alphanumeric());
    (fits && ends).then_some(pattern.len())
}

/// Replaces the numbers of measured keys.
fn measured_left_out(line: &str) -> String {
    let mut line = line.to_owned();
    for key in MEASURED {
        let key = format!("\"{key}\":");
        let Some(at) = line.find(&key).map(|at| at + key.len()) else {
            continue;
        };
        let value = line[at..].trim_start();
        let from = line.len() - value.len();
        let length = value.chars().take_while(|c| c.is_ascii_digit() || *c == '.').count();
        if length > 0 {
            line.replace_range(from..from + length, "[measured]");
        }
    }
    line
}

/// Replaces numbers before the words of [`AMOUNTS`].
fn amounts_left_out(line: &str) -> String {
    let mut line = line.to_owned();
    for unit in AMOUNTS {
        let mut from = 0;
        while let Some(at) = line[from..].find(unit).map(|at| at + from) {
            let digits = line[..at].chars().rev().take_while(char::is_ascii_digit).count();
            line.replace_range(at - digits..at, "[n]");
            from = at - digits + "[n]".len() + unit.len();
        }
    }
    line
}

/// The widths of columns depend on what was replaced: between columns stand two spaces. What begins a line stays.
fn columns_closed(line: &str) -> String {
    let begin = line.len() - line.trim_start_matches(' ').len();
    let (indent, rest) = line.split_at(begin);
    let mut closed = indent.to_owned();
    let mut spaces = 0;
    for c in rest.chars() {
        spaces = if c == ' ' { spaces + 1 } else { 0 };
        if spaces <= 2 {
            closed.push(c);
        }
    }
    closed
}
