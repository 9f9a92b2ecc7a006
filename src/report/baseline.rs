//! What a run is compared with: an earlier JSON report, or the assessment of another image.
//!
//! Findings are told apart by their fingerprints, which hold no line, message or version.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{ImageReport, Report, ReportKind, errata::errata, view};

/// What has become of something since the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// the baseline did not have it
    New,
    /// the baseline had it too
    Unchanged,
}

impl Change {
    /// As reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A finding that a baseline had.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Told {
    /// the rule
    #[serde(default)]
    pub(crate) rule: String,
    /// what was said
    pub(crate) message: String,
    /// see the JSON contract
    pub(crate) fingerprint: String,
}

/// An image of a baseline.
#[derive(Debug, Clone, Default)]
pub(crate) struct BaselineImage {
    platform: Option<String>,
    grade: Option<String>,
    findings: BTreeMap<String, Told>,
    /// rules that were assessed; the others had no chance to find anything
    assessed: BTreeSet<String>,
    /// ids; `None` when the image was not laid beside advisories
    advisories: Option<BTreeSet<String>>,
}

/// What a run is compared with.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// as the user named it
    pub name: String,
    images: Vec<BaselineImage>,
    /// of the Dockerfile; `None` for an image, which knows no Dockerfile
    lints: Option<BTreeMap<String, Told>>,
}

/// Why a text is no report to compare with.
#[derive(Debug, thiserror::Error)]
pub enum NotAReport {
    /// not the contract's shape
    #[error("it is no report of `--format json`: {0}")]
    Shape(#[from] serde_json::Error),
    /// of a later contract
    #[error("it has version {0} of the report, and this version of plimsoll reads 1")]
    Version(String),
}

#[derive(Deserialize)]
struct Document {
    schema_version: String,
    #[serde(default)]
    lints: Vec<Told>,
    platforms: Option<Vec<Image>>,
    #[serde(flatten)]
    single: Image,
}

#[expect(clippy::struct_field_names, reason = "the keys of the report")]
#[derive(Deserialize, Default)]
struct Image {
    image: Option<Identity>,
    grade: Option<String>,
    #[serde(default)]
    assessments: Vec<Rule>,
    #[serde(default)]
    advisories: Vec<Advisory>,
}

#[derive(Deserialize)]
struct Identity {
    platform: Option<String>,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
    outcome: String,
    #[serde(default)]
    findings: Vec<Told>,
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
}

impl Image {
    fn into_baseline(self) -> BaselineImage {
        let assessed = self
            .assessments
            .iter()
            .filter(|rule| rule.outcome != "not_assessed")
            .map(|rule| rule.name.clone())
            .collect();
        let findings = self.assessments.into_iter().flat_map(|rule| {
            let name = rule.name;
            rule.findings.into_iter().map(move |told| Told {
                rule: name.clone(),
                ..told
            })
        });
        BaselineImage {
            platform: self.image.and_then(|image| image.platform),
            findings: by_fingerprint(findings),
            assessed,
            advisories: self
                .grade
                .is_some()
                .then(|| self.advisories.into_iter().map(|it| it.id).collect()),
            grade: self.grade,
        }
    }
}

fn by_fingerprint(told: impl IntoIterator<Item = Told>) -> BTreeMap<String, Told> {
    told.into_iter()
        .map(|told| (told.fingerprint.clone(), told))
        .collect()
}

impl Baseline {
    /// Reads a report that `--format json` wrote.
    ///
    /// # Errors
    /// When it is none, or of another major version of the contract.
    pub fn parse(name: &str, json: &[u8]) -> Result<Self, NotAReport> {
        let document: Document = serde_json::from_slice(json)?;
        if document.schema_version.split('.').next() != Some("1") {
            return Err(NotAReport::Version(document.schema_version));
        }
        let images = match document.platforms {
            Some(platforms) => platforms,
            None => vec![document.single],
        };
        let has_image = |image: &Image| image.image.is_some();
        Ok(Self {
            name: name.to_owned(),
            images: images
                .into_iter()
                .filter(has_image)
                .map(Image::into_baseline)
                .collect(),
            lints: Some(by_fingerprint(document.lints)),
        })
    }

    /// Images that were assessed in the same run as `report`.
    pub fn of_images(name: &str, images: Vec<ImageReport>, report: &Report) -> Self {
        let other = Report {
            kind: ReportKind::Scan,
            images,
            lints: Vec::new(),
            baseline: None,
            anchor: None,
            ..report.clone()
        };
        let items = view::items(&other);
        let image = |image: &ImageReport| BaselineImage {
            platform: image.image.platform.as_ref().map(ToString::to_string),
            grade: image.advisories.as_ref().map(|facts| match &facts.health {
                crate::advisory::grade::Health::Graded { grade, .. } => grade.to_string(),
                crate::advisory::grade::Health::Unknown(_) => "Unknown".to_owned(),
            }),
            findings: by_fingerprint(
                items
                    .iter()
                    .filter(|item| item.image.is_some_and(|it| std::ptr::eq(it, image)))
                    .map(|item| Told {
                        rule: item.rule.to_owned(),
                        message: item.finding.message.clone(),
                        fingerprint: item.fingerprint.clone(),
                    }),
            ),
            assessed: image
                .assessments
                .iter()
                .filter(|assessment| assessment.outcome_name() != "not_assessed")
                .map(|assessment| assessment.rule.id.to_owned())
                .collect(),
            advisories: image.advisories.as_ref().map(|_| {
                errata(&other, image)
                    .iter()
                    .map(|erratum| erratum.missing.id.clone())
                    .collect()
            }),
        };
        Self {
            name: name.to_owned(),
            images: other.images.iter().map(image).collect(),
            lints: None,
        }
    }

    /// The image that another one is compared with: that of its platform, or the only one there is.
    pub(crate) fn image(&self, image: &ImageReport, report: &Report) -> Option<&BaselineImage> {
        if let ([only], [_]) = (&*self.images, &*report.images) {
            return Some(only);
        }
        let platform = image.image.platform.as_ref().map(ToString::to_string);
        self.images.iter().find(|it| it.platform == platform)
    }

    /// What has become of an item; `None` when the baseline had no chance to have it.
    pub(crate) fn change(&self, item: &view::Item<'_>, report: &Report) -> Option<Change> {
        let seen = match item.image {
            None => self.lints.as_ref()?.contains_key(&item.fingerprint),
            Some(image) => {
                let image = self.image(image, report)?;
                image.assessed.contains(item.rule).then_some(())?;
                image.findings.contains_key(&item.fingerprint)
            }
        };
        Some(if seen { Change::Unchanged } else { Change::New })
    }

    /// Findings of the baseline that are gone, as far as their rules were assessed again.
    pub(crate) fn fixed<'a>(
        &'a self,
        report: &'a Report,
        items: &'a [view::Item<'_>],
    ) -> Vec<&'a Told> {
        let now: BTreeSet<&str> = items.iter().map(|item| &*item.fingerprint).collect();
        let gone = |told: &&Told| !now.contains(&*told.fingerprint);
        let images = report.images.iter().filter_map(|image| {
            let assessed = |told: &&Told| {
                let of_rule = |it: &&crate::finding::Assessment| it.rule.id == told.rule;
                let found = image.assessments.iter().find(of_rule);
                found.is_some_and(|assessment| assessment.outcome_name() != "not_assessed")
            };
            Some(
                self.image(image, report)?
                    .findings
                    .values()
                    .filter(assessed)
                    .collect::<Vec<_>>(),
            )
        });
        let lints = self.lints.iter().flat_map(BTreeMap::values);
        images.flatten().chain(lints).filter(gone).collect()
    }

    /// The grade that the baseline had.
    pub(crate) fn grade(&self, image: &ImageReport, report: &Report) -> Option<&str> {
        self.image(image, report)?.grade.as_deref()
    }

    /// Advisories that the baseline lacked and the image has applied.
    pub(crate) fn applied<'a>(&'a self, image: &'a ImageReport, report: &Report) -> Vec<&'a str> {
        let (Some(facts), Some(before)) = (&image.advisories, self.image(image, report)) else {
            return Vec::new();
        };
        let missing = &facts.matched.missing;
        let ids = before.advisories.iter().flatten().map(String::as_str);
        ids.filter(|id| !missing.iter().any(|missing| missing.id == **id))
            .collect()
    }
}

impl BaselineImage {
    pub(crate) fn advisory(&self, id: &str) -> Option<Change> {
        let known = self.advisories.as_ref()?.contains(id);
        Some(if known {
            Change::Unchanged
        } else {
            Change::New
        })
    }
}
