//! Where reports go: paths made absolute, no two to the same place.

use super::{
    decode::Leaf as _,
    resolve::Resolver,
    sourced::{Origin, Setting, Sourced},
    values::ReportTo,
};

impl Resolver<'_> {
    pub(super) fn reports(&self, wanted: Setting<Vec<ReportTo>>) -> Vec<Sourced<ReportTo>> {
        let Some(wanted) = wanted else {
            return Vec::new();
        };
        let place = |report| self.placed(report, &wanted.origin);
        wanted.value.into_iter().map(place).collect()
    }

    pub(super) fn more_reports(
        &mut self,
        origin: &Origin,
        texts: &[String],
    ) -> Vec<Sourced<ReportTo>> {
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
    pub(super) fn reports_differ(&mut self, reports: &[Sourced<ReportTo>]) {
        for (index, report) in reports.iter().enumerate() {
            let same = |other: &&Sourced<ReportTo>| other.value.path == report.value.path;
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
