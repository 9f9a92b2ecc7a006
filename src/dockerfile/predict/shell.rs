//! Simple commands of a shell text: enough to see which programs a `RUN` calls with which words.
//! Variables are left as written; nothing is executed.

use crate::dockerfile::{Arguments, Step};

/// Words of the simple commands of a `RUN`, in order.
pub(super) fn commands(step: &Step) -> Vec<Vec<String>> {
    let instruction = &step.instruction;
    let mut found = match &instruction.arguments {
        Arguments::Exec(list) => match list.as_slice() {
            [shell, flags, text] if shell.ends_with("sh") && flags.starts_with('-') => split(text),
            list => vec![list.to_vec()],
        },
        Arguments::Text(word) => split(&word.text),
        _ => Vec::new(),
    };
    for heredoc in &instruction.heredocs {
        found.extend(split(&heredoc.content));
    }
    found
}

fn split(text: &str) -> Vec<Vec<String>> {
    let mut reader = Commands::default();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (reader.quote, c) {
            (Some(open), close) if open == close => reader.quote = None,
            (quote, '\\') if quote != Some('\'') => match chars.next() {
                Some('\n') | None => {}
                Some(next) => reader.push(next),
            },
            (None, '"' | '\'') => {
                reader.quote = Some(c);
                reader.word.get_or_insert_default();
            }
            (None, '#') if reader.word.is_none() => {
                while chars.next_if(|c| *c != '\n').is_some() {}
            }
            (None, ';' | '&' | '|' | '\n' | '(' | ')') => reader.end_command(),
            (None, '>' | '<') => {
                reader.end_word();
                reader.push(c);
                reader.end_word();
            }
            (None, c) if c.is_whitespace() => reader.end_word(),
            (_, c) => reader.push(c),
        }
    }
    reader.end_command();
    reader.found
}

#[derive(Default)]
struct Commands {
    found: Vec<Vec<String>>,
    command: Vec<String>,
    word: Option<String>,
    quote: Option<char>,
}

impl Commands {
    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        self.command.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        // `VAR=x command`, `if command`, `sudo command`: the command is what counts.
        let skip = self
            .command
            .iter()
            .take_while(|word| is_prefix(word))
            .count();
        self.command.drain(..skip);
        if !self.command.is_empty() {
            self.found.push(std::mem::take(&mut self.command));
        }
    }
}

fn is_prefix(word: &str) -> bool {
    let assigns = word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    assigns
        || matches!(
            word,
            "if" | "then" | "else" | "elif" | "do" | "while" | "!" | "{" | "}" | "sudo" | "time"
        )
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn commands_are_taken_apart_at_operators_outside_quotes() {
        let found = split(
            "set -e; A=1 dnf -y install 'a b' \"c;d\" && (rm x || true) > /y\n# no\nif ls; then cp a b; fi",
        );
        let found: Vec<String> = found.iter().map(|c| c.join("|")).collect();
        assert_eq!(
            found,
            [
                "set|-e",
                "dnf|-y|install|a b|c;d",
                "rm|x",
                "true",
                ">|/y",
                "ls",
                "cp|a|b",
                "fi"
            ]
        );
        assert!(split("'open").len() == 1 && split("").is_empty());
    }
}
