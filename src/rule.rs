//! A rule: what is asked of an image, in words that `explain`, the rules page and SARIF share.

/// How much a failed rule weighs before a profile says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// blocks publication
    Required,
    /// reported, does not block
    Warning,
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// one of the thirteen assessments of the hosted service
    Service,
    /// today's certification policy, or Plimsoll's own
    Policy,
}

/// What is asked of an image.
#[derive(Debug)]
pub struct Rule {
    /// the service's own name, such as `has_licenses`
    pub id: &'static str,
    /// one line that says when it fails, at most 80 characters, no full stop
    pub title: &'static str,
    /// openshift-preflight's names for it
    pub aliases: &'static [&'static str],
    /// weight
    pub level: Level,
    /// who asks
    pub origin: Origin,
    /// version of Plimsoll that brought it
    pub since: &'static str,
    /// security severity for SARIF (0.1 to 10.0), when it is a security rule
    pub security_severity: Option<&'static str>,
    /// the user's page as the doc comment has it, one leading space a line; [`Rule::sections`] cuts
    /// it up: `What it requires`, `Why`, `How to fix`, `References`
    pub page: &'static str,
}

impl PartialEq for Rule {
    /// Ids are unique.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

/// One section of a rule's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// the heading, such as `How to fix`
    pub heading: String,
    /// Markdown below it, trimmed
    pub text: String,
}

impl Rule {
    /// The sections of the page in the order written. Text before the first heading has none.
    pub fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut fenced = false;
        for line in self.page.lines() {
            let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
            fenced ^= line.starts_with("```");
            let heading = line.strip_prefix("# ").filter(|_| !fenced);
            match (heading, sections.last_mut()) {
                (Some(heading), _) => sections.push(Section {
                    heading: heading.to_owned(),
                    text: String::new(),
                }),
                (None, Some(section)) => {
                    let section: &mut Section = section;
                    section.text.push_str(line);
                    section.text.push('\n');
                }
                (None, None) => {}
            }
        }
        for section in &mut sections {
            section.text = section.text.trim().to_owned();
        }
        sections
    }
}

/// Defines a [`Rule`] whose page is its doc comment.
#[macro_export]
macro_rules! rule {
    ($(#[doc = $page:literal])+ $vis:vis static $name:ident = {
        id: $id:literal,
        title: $title:literal,
        aliases: [$($alias:literal),* $(,)?],
        level: $level:ident,
        origin: $origin:ident,
        since: $since:literal
        $(, security_severity: $severity:literal)? $(,)?
    }) => {
        $(#[doc = $page])+
        $vis static $name: $crate::rule::Rule = $crate::rule::Rule {
            id: $id,
            title: $title,
            aliases: &[$($alias),*],
            level: $crate::rule::Level::$level,
            origin: $crate::rule::Origin::$origin,
            since: $since,
            security_severity: $crate::rule!(@severity $($severity)?),
            page: concat!($($page, "\n"),+),
        };
    };
    (@severity) => { None };
    (@severity $severity:literal) => { Some($severity) };
}

#[cfg(test)]
mod tests {
    crate::rule! {
        /// # What it requires
        /// Something.
        ///
        /// ```
        /// # not a heading
        /// ```
        ///
        /// # Why
        /// Because.
        static EXAMPLE = {
            id: "example",
            title: "an example",
            aliases: ["Example"],
            level: Warning,
            origin: Policy,
            since: "0.1.0",
        }
    }

    #[test]
    fn a_page_is_cut_at_headings_but_not_inside_code() {
        let sections = EXAMPLE.sections();
        let headings: Vec<_> = sections.iter().map(|s| s.heading.as_str()).collect();
        assert_eq!(headings, ["What it requires", "Why"]);
        assert_eq!(sections[0].text, "Something.\n\n```\n# not a heading\n```");
        assert_eq!(sections[1].text, "Because.");
        assert_eq!(EXAMPLE.security_severity, None);
    }
}
