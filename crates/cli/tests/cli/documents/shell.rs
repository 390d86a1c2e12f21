//! As much of a shell as the documents use: quotes, comments, pipes, lists and redirections.

/// Programs that the documents run: none of them is an argument of another command.
const PROGRAMS: [&str; 5] = ["baton", "cargo", "nats", "nats-server", "sudo"];

/// A line of shell.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Its commands, each with at least one word, without what stands before the program.
    pub(super) commands: Vec<Vec<String>>,
    /// The comment behind them.
    pub(super) comment: String,
}

impl Line {
    pub(super) fn read(text: &str) -> Self {
        let (mut line, mut words, mut word) = (Self::default(), Vec::new(), None::<String>);
        let mut rest = text.strip_prefix("$ ").unwrap_or(text).chars().peekable();
        let mut quote = None;
        while let Some(c) = rest.next() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (Some(_), c) => word.get_or_insert_default().push(c),
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, '#') if word.is_none() => {
                    line.comment = rest.collect();
                    break;
                }
                (None, ' ') => words.extend(word.take()),
                (None, '|' | ';' | '&') => {
                    words.extend(word.take());
                    line.push(std::mem::take(&mut words));
                }
                // The number of a stream before it, and the file behind it, are no words of the command.
                (None, '>' | '<') => {
                    words.extend(word.take().filter(|word| !word.chars().all(|c| c.is_ascii_digit())));
                    while rest.next_if(|c| " >&".contains(*c)).is_some() {}
                    while rest.next_if(|c| !" |;&".contains(*c)).is_some() {}
                }
                // Brackets say that a part may be left out.
                (None, '[' | ']') => {}
                (None, c) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        line.push(words);
        line
    }

    fn push(&mut self, words: Vec<String>) {
        let is_before = |word: &String| {
            let name = word.split_once('=').map_or("", |(name, _)| name);
            let is_variable = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            is_variable || word == "sudo" || word == "-E"
        };
        let words: Vec<String> = words.into_iter().skip_while(is_before).collect();
        if !words.is_empty() {
            self.commands.push(words);
        }
    }

    /// What shows that two lines became one.
    pub(super) fn run_together(&self) -> Vec<String> {
        let mut found = Vec::new();
        for words in &self.commands {
            if words[0].starts_with('-') {
                found.push(format!("it begins with {}, as the rest of another line does", words[0]));
            }
            // What stands behind an option is its value: `--only baton`.
            let begins = |pair: &&[String]| !pair[0].starts_with('-') && PROGRAMS.contains(&&*pair[1]);
            if let Some(pair) = words.windows(2).find(begins) {
                found.push(format!("a second command begins at `{}`", pair[1]));
            }
        }
        let comment: Vec<&str> = self.comment.split_whitespace().collect();
        let names_a_command = |pair: &[&str]| {
            let is_subcommand = baton_cli::command().find_subcommand(pair[1]).is_some();
            pair[0] == "baton" && is_subcommand
        };
        if comment.contains(&"#") || comment.windows(2).any(names_a_command) {
            found.push("its comment holds another command".to_owned());
        }
        found
    }
}
