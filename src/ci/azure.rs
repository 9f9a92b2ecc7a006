//! Azure Pipelines' logging commands: issues on lines of files, and variables for later steps.

use crate::report::{Annotation, AnnotationLevel};

/// Issues of one level that are shown; the rest is counted.
const PER_LEVEL: usize = 10;

/// Escapes what stands after a command (azure-pipelines-task-lib, `escapedata`).
pub(super) fn escape_data(text: &str) -> String {
    text.replace('%', "%AZP25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property (azure-pipelines-task-lib, `escape`).
fn escape_property(text: &str) -> String {
    escape_data(text).replace(']', "%5D").replace(';', "%3B")
}

/// A variable that later steps and jobs see.
pub fn set_variable(name: &str, value: &str) -> String {
    format!(
        "##vso[task.setvariable variable={};isOutput=true]{}",
        escape_property(name),
        escape_data(value)
    )
}

/// An issue for each annotation. Azure knows errors and warnings.
pub fn issues(annotations: &[Annotation]) -> Vec<String> {
    let mut lines = Vec::new();
    for (failures, kind) in [(true, "error"), (false, "warning")] {
        let of_kind: Vec<&Annotation> = annotations
            .iter()
            .filter(|a| (a.level == AnnotationLevel::Failure) == failures)
            .filter(|a| a.level != AnnotationLevel::Notice)
            .collect();
        lines.extend(of_kind.iter().take(PER_LEVEL).map(|a| issue(kind, a)));
        if of_kind.len() > PER_LEVEL {
            let rest = of_kind.len() - PER_LEVEL;
            lines.push(format!(
                "##vso[task.logissue type={kind}]{rest} more in the report"
            ));
        }
    }
    lines
}

fn issue(kind: &str, annotation: &Annotation) -> String {
    use std::fmt::Write as _;
    let mut properties = format!("type={kind}");
    if let Some(at) = annotation
        .location
        .as_ref()
        .or(annotation.fallback.as_ref())
    {
        let (file, line) = (escape_property(&at.file), at.line);
        let _ = write!(properties, ";sourcepath={file};linenumber={line}");
        if let Some(column) = at.column {
            let _ = write!(properties, ";columnnumber={column}");
        }
    }
    let _ = write!(properties, ";code={}", escape_property(&annotation.title));
    format!(
        "##vso[task.logissue {properties}]{}",
        escape_data(&annotation.message)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{escape_data, escape_property, set_variable};

    proptest! {
        #[test]
        fn nothing_escaped_ends_a_command_or_its_line(text in ".*") {
            let line = set_variable(&text, &text);
            prop_assert!(!line.contains('\n') && !line.contains('\r'));
            prop_assert!(!escape_property(&text).contains([';', ']']));
            let back = escape_data(&text).replace("%0D", "\r").replace("%0A", "\n");
            prop_assert_eq!(back.replace("%AZP25", "%"), text);
        }
    }
}
