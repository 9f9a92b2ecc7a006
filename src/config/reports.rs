//! Where reports go: paths made absolute, no two to the same place.

use std::path::{Path, PathBuf};

use super::{
    decode::Leaf as _,
    given::Given,
    resolve::Resolver,
    sourced::{Origin, Setting, Sourced},
    values::ReportTo,
};

impl Resolver<'_> {
    /// The reports that are wanted, then those that each of `more` adds. The default gives way to
    /// another one on standard output.
    pub(super) fn reports(
        &mut self,
        wanted: Setting<Vec<ReportTo>>,
        more: &[&Given],
    ) -> Vec<Sourced<ReportTo>> {
        let mut reports = Vec::new();
        if let Some(wanted) = wanted {
            let placed = |report| self.placed(report, &wanted.origin);
            reports.extend(wanted.value.into_iter().map(placed));
        }
        for given in more {
            if let Some((origin, texts)) = given.get("report") {
                reports.extend(self.more_reports(origin, texts));
            }
        }
        let asked = |report: &Sourced<ReportTo>| report.origin != Origin::Default;
        let is_taken = |report: &Sourced<ReportTo>| asked(report) && report.value.path.is_none();
        if reports.iter().any(is_taken) {
            reports.retain(asked);
        }
        self.reports_differ(&reports);
        reports
    }

    fn more_reports(&mut self, origin: &Origin, texts: &[String]) -> Vec<Sourced<ReportTo>> {
        let mut reports = Vec::new();
        for text in texts {
            match ReportTo::parse(text, self.words) {
                Ok(report) => reports.push(self.placed(report, origin)),
                Err(problem) => self
                    .faults
                    .push(origin.clone(), problem.message, problem.help),
            }
        }
        reports
    }

    /// Two reports cannot go to the same place.
    fn reports_differ(&mut self, reports: &[Sourced<ReportTo>]) {
        for (index, report) in reports.iter().enumerate() {
            let place = |report: &Sourced<ReportTo>| report.value.path.as_deref().map(place);
            let same = |other: &&Sourced<ReportTo>| place(other) == place(report);
            let Some(other) = reports.iter().take(index).find(same) else {
                continue;
            };
            let to = report.value.path.as_ref();
            let to = to.map_or("standard output".to_owned(), |path| {
                path.display().to_string()
            });
            let (one, two) = (&other.value.format, &report.value.format);
            let message = format!("the reports {one} and {two} both go to {to}");
            let help = "give each a file of its own: FORMAT=PATH".to_owned();
            self.faults.push(report.origin.clone(), message, Some(help));
        }
    }

    fn placed(&self, report: ReportTo, origin: &Origin) -> Sourced<ReportTo> {
        let path = report.path.map(|path| self.bases.of(origin).join(path));
        Sourced::new(ReportTo { path, ..report }, origin.clone())
    }
}

/// Where a path leads, whatever it is called.
fn place(path: &Path) -> PathBuf {
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}
