//! What git is told of this process's environment, of which it sees nothing else.

/// What curl, by which git speaks, looks at.
const PROXIES: [&str; 7] = [
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// The way to the servers, as every other program here takes it.
pub(super) fn proxies(
    variable: impl Fn(&'static str) -> Option<String>,
) -> impl Iterator<Item = (&'static str, String)> {
    let known = PROXIES.into_iter();
    known.filter_map(move |name| Some((name, variable(name)?)))
}

/// A variable of this process.
#[expect(
    clippy::disallowed_methods,
    reason = "programs are looked up, and proxies taken, where this process would"
)]
pub(super) fn variable(name: &'static str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::proxies;

    #[test]
    fn git_takes_the_proxies_of_this_process() {
        let set =
            |name: &'static str| (name == "https_proxy").then(|| "http://proxy:3128".to_owned());
        let taken: Vec<_> = proxies(set).collect();
        assert_eq!(taken, [("https_proxy", "http://proxy:3128".to_owned())]);
    }
}
