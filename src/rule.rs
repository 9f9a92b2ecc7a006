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
    /// the user's page: sections `What it requires`, `Why`, `How to fix`, `References`
    pub page: &'static str,
}

/// Defines a [`Rule`] whose page is its doc comment.
#[macro_export]
macro_rules! rule {
    ($(#[doc = $page:literal])+ $vis:vis static $name:ident = {
        id: $id:literal, title: $title:literal, aliases: [$($alias:literal),* $(,)?],
        level: $level:ident, origin: $origin:ident, since: $since:literal,
        security_severity: $severity:expr $(,)?
    }) => {
        $(#[doc = $page])+
        $vis static $name: $crate::rule::Rule = $crate::rule::Rule {
            id: $id,
            title: $title,
            aliases: &[$($alias),*],
            level: $crate::rule::Level::$level,
            origin: $crate::rule::Origin::$origin,
            since: $since,
            security_severity: $severity,
            page: concat!($($page, "\n"),+),
        };
    };
}
