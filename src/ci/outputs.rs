//! What a run hands on to later steps and jobs, in the form of each CI.

/// The outputs of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outputs {
    /// references of the images
    pub image: Vec<String>,
    /// digests of their manifests
    pub digest: Vec<String>,
    /// tags
    pub tags: Vec<String>,
    /// nothing that blocks was found
    pub passed: bool,
    /// grade, when there is one
    pub grade: Option<String>,
    /// day of the next drop of the grade, `YYYY-MM-DD`
    pub next_drop_date: Option<String>,
    /// path of the SARIF report
    pub sarif: Option<String>,
    /// path of the JSON report
    pub json: Option<String>,
    /// one line on how it came out
    pub summary: String,
    /// code that the process ends with
    pub exit_code: u8,
    /// the image was published
    pub published: bool,
    /// digests of the images' configurations
    pub image_id: Vec<String>,
    /// what was pushed: each name with its tag
    pub pushed: Vec<String>,
    /// ids that code scanning gave to uploads
    pub sarif_id: Vec<String>,
}

/// What an output of several lines is joined with where a value is one line.
const JOIN: &str = ",";

impl Outputs {
    /// Names and values; several values of one name are a line each. What is not known is empty.
    pub fn list(&self) -> Vec<(&'static str, String)> {
        let one = |value: &Option<String>| value.clone().unwrap_or_default();
        vec![
            ("image", self.image.join("\n")),
            ("digest", self.digest.join("\n")),
            ("tags", self.tags.join("\n")),
            ("passed", self.passed.to_string()),
            ("grade", one(&self.grade)),
            ("next-drop-date", one(&self.next_drop_date)),
            ("sarif", one(&self.sarif)),
            ("json", one(&self.json)),
            ("summary", self.summary.clone()),
            ("exit-code", self.exit_code.to_string()),
            ("published", self.published.to_string()),
        ]
    }

    /// The same under names that other actions have; for GitHub alone, as other CIs bound their size.
    pub fn more(&self) -> Vec<(&'static str, String)> {
        let first = |values: &[String]| values.first().cloned().unwrap_or_default();
        let (name, tag) = (first(&self.image), first(&self.tags));
        let has_tag = name
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'));
        let with_tag = match (has_tag, tag.is_empty() || name.is_empty()) {
            (false, false) => format!("{name}:{tag}"),
            _ => name,
        };
        let metadata = serde_json::json!({
            "containerimage.config.digest": first(&self.image_id),
            "containerimage.digest": first(&self.digest),
            "image.name": self.pushed.join(","),
        });
        vec![
            ("imageid", self.image_id.join("\n")),
            ("image-with-tag", with_tag),
            ("metadata", metadata.to_string()),
            ("registry-path", first(&self.pushed)),
            ("registry-paths", serde_json::json!(self.pushed).to_string()),
            ("sarif-id", self.sarif_id.join("\n")),
            ("results", self.json.clone().unwrap_or_default()),
        ]
    }

    /// For `$GITHUB_OUTPUT`. `token` must not be guessable from the values.
    pub fn for_github(&self, token: &str) -> String {
        let all = self.list().into_iter().chain(self.more());
        let lines = all.map(|(name, value)| {
            // A line of a value that is the token would end it early; nobody can know the token.
            let value = value.replace(token, "");
            format!("{name}<<{token}\n{value}\n{token}\n")
        });
        lines.collect()
    }

    /// For GitLab's `artifacts:reports:dotenv`: plain lines, at most 5 KB in all. What does not fit
    /// is named in the second list.
    pub fn for_dotenv(&self) -> (String, Vec<&'static str>) {
        const MAX: usize = 5 * 1024;
        let (mut text, mut left_out) = (String::new(), Vec::new());
        for (name, value) in self.list() {
            let line = format!("{}={}\n", name.replace('-', "_"), one_line(&value));
            if text.len() + line.len() > MAX {
                left_out.push(name);
            } else {
                text.push_str(&line);
            }
        }
        (text, left_out)
    }

    /// Variables of Azure Pipelines: names and values of one line.
    pub fn for_azure(&self) -> Vec<(String, String)> {
        let pairs = self.list().into_iter();
        pairs
            .map(|(name, value)| (name.replace('-', "_"), one_line(&value)))
            .collect()
    }

    /// Result files of Tekton: names and contents of one line. Besides the outputs there is what
    /// Konflux reads: `IMAGE_URL`, `IMAGE_DIGEST` and `TEST_OUTPUT`; `when` is in seconds since 1970.
    pub fn for_results(&self, counts: Counts, when: i64) -> Vec<(&'static str, String)> {
        /// All results of a task share 4,096 bytes by default.
        const MAX: usize = 300;
        let mut files: Vec<(&'static str, String)> = self
            .list()
            .into_iter()
            .map(|(name, value)| (name, super::text::cut(&one_line(&value), MAX)))
            .collect();
        let first = |values: &[String]| values.first().map(|v| one_line(v)).unwrap_or_default();
        files.push(("IMAGE_URL", first(&self.image)));
        files.push(("IMAGE_DIGEST", first(&self.digest)));
        let result = match self.exit_code {
            0 if counts.warnings > 0 => "WARNING",
            0 => "SUCCESS",
            1 => "FAILURE",
            _ => "ERROR",
        };
        let timestamp = jiff::Timestamp::from_second(when).unwrap_or_default();
        let timestamp = timestamp.to_string();
        let test = serde_json::json!({
            "result": result,
            "timestamp": timestamp,
            "namespace": "default",
            "note": super::text::cut(&self.summary, 200),
            "successes": counts.successes,
            "failures": counts.failures,
            "warnings": counts.warnings,
        });
        files.push(("TEST_OUTPUT", test.to_string()));
        files
    }
}

/// Assessments by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// passed
    pub successes: usize,
    /// failed
    pub failures: usize,
    /// with warnings
    pub warnings: usize,
}

/// On one line, without control characters and quotes, which readers of dotenv files do not agree on.
fn one_line(value: &str) -> String {
    let value = value.trim_end_matches('\n').replace('\n', JOIN);
    value
        .chars()
        .filter(|c| !c.is_control() && !"'\"".contains(*c))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Counts, Outputs};

    const HOSTILE: &str =
        "a\npassed=true\nEOF\r\n::set-output name=passed::true\n$(id) `id` \"q' \u{1b}[31m ünï";

    fn hostile() -> Outputs {
        Outputs {
            image: vec![HOSTILE.to_owned()],
            summary: HOSTILE.to_owned(),
            sarif: Some(HOSTILE.to_owned()),
            exit_code: 1,
            ..Outputs::default()
        }
    }

    /// The runner's own reading of the file (`FileCommandManager`).
    fn read_by_the_runner(text: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut lines = text.split('\n');
        while let Some(line) = lines.next() {
            if line.is_empty() {
                continue;
            }
            let heredoc = line.find("<<");
            let equals = line.find('=');
            if let (Some(at), true) = (heredoc, equals.is_none_or(|e| heredoc.unwrap() < e)) {
                let (name, delimiter) = (&line[..at], &line[at + 2..]);
                let mut value = Vec::new();
                loop {
                    let line = lines.next().expect("the delimiter is missing");
                    if line == delimiter {
                        break;
                    }
                    value.push(line);
                }
                found.insert(name.to_owned(), value.join("\n"));
            } else {
                let (name, value) = line.split_once('=').unwrap();
                found.insert(name.to_owned(), value.to_owned());
            }
        }
        found
    }

    #[test]
    fn outputs_reach_the_runner_as_text_whatever_they_hold() {
        let outputs = hostile();
        let read = read_by_the_runner(&outputs.for_github("plimsoll-0123"));
        let want: BTreeMap<String, String> = outputs
            .list()
            .into_iter()
            .chain(outputs.more())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        assert_eq!(read, want);
        assert_eq!(read["passed"], "false");
    }

    #[test]
    fn every_output_of_the_action_is_there() {
        let names = |list: Vec<(&'static str, String)>| -> String {
            list.into_iter()
                .map(|(n, _)| n)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            names(Outputs::default().list()),
            "image digest tags passed grade next-drop-date sarif json summary exit-code published"
        );
        assert_eq!(
            names(Outputs::default().more()),
            "imageid image-with-tag metadata registry-path registry-paths sarif-id results"
        );
    }

    #[test]
    fn names_of_other_actions_say_the_same() {
        let outputs = Outputs {
            image: vec!["quay.io:443/org/app".to_owned()],
            tags: vec!["1.0-1".to_owned(), "latest".to_owned()],
            digest: vec!["sha256:aa".to_owned()],
            pushed: vec!["quay.io:443/org/app:1.0-1".to_owned()],
            ..Outputs::default()
        };
        let more: BTreeMap<_, _> = outputs.more().into_iter().collect();
        assert_eq!(more["image-with-tag"], "quay.io:443/org/app:1.0-1");
        assert_eq!(more["registry-paths"], r#"["quay.io:443/org/app:1.0-1"]"#);
        let metadata: serde_json::Value = serde_json::from_str(&more["metadata"]).unwrap();
        assert_eq!(metadata["containerimage.digest"], "sha256:aa");
        let named = Outputs {
            image: vec!["app:2".to_owned()],
            ..outputs
        };
        assert_eq!(named.more()[1].1, "app:2");
    }

    #[test]
    fn a_dotenv_file_is_plain_and_small() {
        let mut outputs = hostile();
        let (text, left_out) = outputs.for_dotenv();
        assert!(left_out.is_empty());
        assert_eq!(text.lines().count(), outputs.list().len(), "{text}");
        for line in text.lines() {
            let (name, value) = line.split_once('=').unwrap();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert!(!value.contains(['"', '\'', '\r', '\u{1b}']), "{value}");
        }
        outputs.summary = "x".repeat(6000);
        let (text, left_out) = outputs.for_dotenv();
        assert!(text.len() <= 5 * 1024);
        assert_eq!(left_out, ["summary"]);
    }

    #[test]
    fn result_files_are_small_and_konflux_finds_its_own() {
        let files = hostile().for_results(
            Counts {
                successes: 3,
                failures: 2,
                warnings: 1,
            },
            7,
        );
        let total: usize = files.iter().map(|(_, value)| value.len()).sum();
        assert!(total < 4096, "{total}");
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let test: serde_json::Value = serde_json::from_str(&files["TEST_OUTPUT"]).unwrap();
        assert_eq!(
            (&test["result"], &test["failures"]),
            (&"FAILURE".into(), &2.into())
        );
        assert_eq!(test["timestamp"], "1970-01-01T00:00:07Z");
        assert!(!files["image"].contains('\n'));
    }

    proptest! {
        #[test]
        fn any_output_is_read_back(value in "(\\PC|\n){0,80}") {
            let outputs = Outputs { summary: value.clone(), ..Outputs::default() };
            let read = read_by_the_runner(&outputs.for_github("plimsoll-0123"));
            prop_assert_eq!(&read["summary"], &value);
        }
    }
}
