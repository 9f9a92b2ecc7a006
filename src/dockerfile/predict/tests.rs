use super::{
    super::Dockerfile, ContextFiles, ContextPath, IndexMap, Outcome, PredictContext, Verdict,
    predict,
};

/// A context of the paths that the tests name.
struct Files;

impl ContextFiles for Files {
    fn look(&self, path: &str) -> ContextPath {
        match path {
            "licenses" | "LICENSE" | "root/licenses" | "licenses/mit.txt" => ContextPath::Present,
            "ignored" => ContextPath::Ignored,
            "empty" => ContextPath::Empty,
            "odd" => ContextPath::Unknown,
            _ => ContextPath::Missing,
        }
    }
}

const UBI: &str = "FROM registry.access.redhat.com/ubi9/ubi-minimal:9.4\n";

/// `passed`, `warning`, `failed@line`, `unknown` …
fn outcome(text: &str, rule: &str, context: &PredictContext<'_>) -> String {
    let file = Dockerfile::read("Dockerfile", text).0.unwrap();
    let found = predict(&file, context).unwrap();
    let found = found.rules.iter().find(|p| p.rule == rule).unwrap();
    match &found.outcome {
        Outcome::Assessed(Verdict::Failed(findings)) => {
            let line = |f: &super::Finding| f.location.as_ref().map_or(0, |at| at.line).to_string();
            let lines: Vec<String> = findings.iter().map(line).collect();
            format!("failed@{}", lines.join(","))
        }
        Outcome::Assessed(Verdict::Warning(_)) => "warning".to_owned(),
        Outcome::Assessed(_) => "passed".to_owned(),
        Outcome::NotAssessed(reason) => {
            assert!(!reason.is_empty());
            "unknown".to_owned()
        }
    }
}

fn table(rule: &str, context: &PredictContext<'_>, cases: &[(&str, &str)]) {
    for (text, want) in cases {
        let text = if text.starts_with("FROM") {
            (*text).to_owned()
        } else {
            format!("{UBI}{text}")
        };
        assert_eq!(outcome(&text, rule, context), *want, "{text}");
    }
}

#[test]
fn licenses_are_looked_for_along_the_way_to_the_target() {
    let context = PredictContext {
        files: Some(&Files),
        ..PredictContext::default()
    };
    let cases = [
        ("COPY licenses /licenses\n", "passed"),
        ("COPY LICENSE /licenses/\n", "passed"),
        ("ADD ./licenses/mit.txt /licenses/mit\n", "passed"),
        ("WORKDIR /licenses\nCOPY LICENSE .\n", "passed"),
        ("WORKDIR /\nCOPY LICENSE licenses/\n", "passed"),
        ("COPY root/ /\n", "passed"),
        ("COPY <<EOF /licenses/l\nterms\nEOF\n", "passed"),
        ("ADD https://x.example/l.txt /licenses/\n", "passed"),
        ("COPY --from=build /l /licenses/\n", "passed"),
        ("RUN mkdir -p /licenses && cp /x /licenses/\n", "passed"),
        (
            "RUN mkdir /licenses && echo terms > /licenses/l\n",
            "passed",
        ),
        (
            "RUN mkdir -p /licenses\nCOPY LICENSE /licences/\n",
            "failed@1",
        ),
        ("RUN mkdir -p /licenses\n", "failed@1"),
        ("USER 1\n", "failed@1"),
        ("COPY gone /licenses\n", "failed@2"),
        ("COPY ignored /licenses\n", "failed@2"),
        ("COPY empty /licenses\n", "failed@2"),
        ("COPY odd /licenses\n", "unknown"),
        ("COPY $X /licenses\n", "unknown"),
        ("COPY gone LICENSE /licenses\n", "passed"),
        (
            "COPY licenses /licenses\nRUN rm -rf /licenses\n",
            "failed@3",
        ),
        ("COPY licenses /licensesX\n", "failed@1"),
        ("FROM quay.io/x/y:1\nUSER 1\n", "unknown"),
        ("FROM scratch\nUSER 1\n", "failed@1"),
        (
            "FROM scratch AS a\nCOPY licenses /licenses\nFROM a\nUSER 1\n",
            "passed",
        ),
        (
            "FROM scratch AS a\nCOPY licenses /licenses\nFROM scratch\nUSER 1\n",
            "failed@3",
        ),
    ];
    table("has_licenses", &context, &cases);
    let blind = PredictContext::default();
    table(
        "has_licenses",
        &blind,
        &[
            ("COPY licenses /licenses\n", "passed"),
            ("COPY . /\n", "unknown"),
        ],
    );
}

#[test]
fn the_user_that_counts_is_the_last() {
    let cases = [
        ("USER 1001\n", "passed"),
        ("USER 1001\nUSER root\n", "failed@3"),
        ("USER 0\nUSER 1\n", "passed"),
        // what a container cannot be started with fails in the scan too
        ("USER 2147483648\n", "failed@2"),
        ("USER -1\n", "failed@2"),
        ("ARG U=0\nUSER $U:1\n", "failed@3"),
        ("USER \"root\"\n", "failed@2"),
        ("USER ${U}\n", "unknown"),
        ("RUN x\n", "failed@1"),
        (
            "FROM registry.access.redhat.com/ubi9/nodejs-20\n",
            "unknown",
        ),
        ("FROM scratch\n", "failed@1"),
    ];
    table("not_running_as_root", &PredictContext::default(), &cases);
    let nobody = PredictContext {
        base_user: Some("185"),
        ..PredictContext::default()
    };
    table("not_running_as_root", &nobody, &[("RUN x\n", "passed")]);
    let root = PredictContext {
        base_user: Some(""),
        ..PredictContext::default()
    };
    table(
        "not_running_as_root",
        &root,
        &[("FROM x\nRUN x\n", "failed@1")],
    );
}

#[test]
fn labels_are_said_missing_or_inherited() {
    let cases = [
        ("LABEL vendor=X\n", "passed"),
        ("LABEL a=b \\\n  vendor=\"\"\n", "failed@3"),
        ("USER 1\n", "passed"),
        ("FROM x\nUSER 1\n", "unknown"),
        ("FROM scratch\nLABEL a=b\n", "failed@2"),
        ("FROM x\nLABEL vendor=$V\n", "unknown"),
        ("FROM x\nLABEL vendor=\"V $V\"\n", "passed"),
    ];
    table("vendor_label_exists", &PredictContext::default(), &cases);
    let labels = IndexMap::from([
        ("vendor".to_owned(), "Red Hat, Inc.".to_owned()),
        ("name".to_owned(), "ubi9".to_owned()),
    ]);
    let known = PredictContext {
        base_labels: Some(&labels),
        ..PredictContext::default()
    };
    table(
        "name_label_exists",
        &known,
        &[("FROM x\nUSER 1\n", "passed")],
    );
    table(
        "version_label_exists",
        &known,
        &[("FROM x\nUSER 1\n", "failed@1")],
    );
    let own = [
        ("LABEL vendor=X maintainer=y\n", "passed"),
        ("LABEL vendor=X\n", "passed"),
        (
            "LABEL name=\"x for Red Hat\" \\\n maintainer=\"Red Hat\"\n",
            "failed@1,3",
        ),
    ];
    table("has_no_prohibited_labels", &known, &own);
    let trap = [
        ("USER 1\n", "failed@1,1"),
        ("LABEL vendor=X maintainer=y\n", "passed"),
        ("LABEL vendor=$V maintainer=y name=z\n", "unknown"),
        ("FROM x\nLABEL vendor=v name=n\n", "unknown"),
        ("FROM scratch\nLABEL vendor=v\n", "passed"),
    ];
    table(
        "has_no_prohibited_labels",
        &PredictContext::default(),
        &trap,
    );
    let given = IndexMap::from([("vendor".to_owned(), "V".to_owned())]);
    let outside = PredictContext {
        labels: Some(&given),
        ..PredictContext::default()
    };
    table(
        "vendor_label_exists",
        &outside,
        &[("FROM scratch\n", "passed")],
    );
}

#[test]
fn layers_are_counted_with_those_of_the_base() {
    let runs = |n: usize| format!("{UBI}{}", "RUN x\n".repeat(n));
    let rule = "good_layer_count";
    let plain = PredictContext::default();
    assert_eq!(outcome(&runs(5), rule, &plain), "passed");
    assert_eq!(outcome(&runs(38), rule, &plain), "unknown");
    assert_eq!(outcome(&runs(40), rule, &plain), "failed@41");
    let two = PredictContext {
        base_layers: Some(2),
        ..plain
    };
    assert_eq!(outcome(&runs(37), rule, &two), "passed");
    assert_eq!(outcome(&runs(38), rule, &two), "warning");
    assert_eq!(outcome(&runs(39), rule, &two), "failed@40");
    let squashed = PredictContext {
        squash: true,
        ..plain
    };
    assert_eq!(outcome(&runs(1), rule, &squashed), "failed@1");
    assert_eq!(outcome("FROM x\nRUN y\n", rule, &plain), "unknown");
}

#[test]
fn tags_and_names_are_judged_when_they_are_given() {
    let rule = "good_tags";
    let judge = |tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let context = PredictContext {
            tags: &tags,
            ..PredictContext::default()
        };
        outcome(UBI, rule, &context)
    };
    assert_eq!(judge(&[]), "unknown");
    assert_eq!(judge(&["1.0-1", "latest"]), "passed");
    assert_eq!(judge(&["latest"]), "failed@0");
    assert_eq!(judge(&["-a b"]), "failed@0,0");
    for (repository, want) in [
        (None, "unknown"),
        (Some("quay.io/redhat/plugin"), "passed"),
        (Some("quay.io/x/red-hat-plugin"), "failed@0"),
    ] {
        let context = PredictContext {
            repository,
            ..PredictContext::default()
        };
        assert_eq!(outcome(UBI, "has_no_prohibited_name", &context), want);
    }
}

#[test]
fn packages_databases_and_secrets_are_told_on_their_lines() {
    let plain = PredictContext::default();
    let packages = [
        ("RUN dnf install -y gcc \\\n  kernel-core\n", "failed@3"),
        ("RUN [\"microdnf\", \"install\", \"grub2\"]\n", "failed@2"),
        ("RUN yum -y install kpatch-dnf kernel-headers\n", "failed@2"),
        ("RUN pip install kernel\n", "unknown"),
        ("RUN dnf remove kernel\n", "unknown"),
    ];
    table("has_no_prohibited_packages", &plain, &packages);
    let database = [
        ("RUN rm -rf /var/lib/rpm/*\n", "failed@2"),
        ("RUN rm -rf /var/lib/rpmbuild\n", "unknown"),
    ];
    table("rpm_list_successful", &plain, &database);
    table("rpm_verify_successful", &plain, &database);
    let secrets = [
        ("COPY a/.npmrc /x\n", "failed@2"),
        ("COPY a.env /x\n", "unknown"),
    ];
    table("has_no_secrets", &plain, &secrets);
    let privileged = [
        (
            "LABEL a=b\\\n run=\"podman run --privileged x\"\n",
            "failed@3",
        ),
        ("USER 1\n", "passed"),
        ("FROM x\n", "unknown"),
    ];
    table("not_running_privileged", &plain, &privileged);
    // As the scan judges: labels that hold commands alone, and every option that it knows.
    let same_as_the_scan = [
        ("LABEL run=\"podman run --privileged=false x\"\n", "passed"),
        ("LABEL description=\"needs no --privileged\"\n", "passed"),
        ("LABEL run=\"podman run -v /:/host x\"\n", "failed@2"),
        (
            "LABEL a=b\\\n install=\"podman run --net=host --privileged x\"\n",
            "failed@3,3",
        ),
    ];
    table("not_running_privileged", &plain, &same_as_the_scan);
    let run = IndexMap::from([("run".to_owned(), "podman run --privileged x".to_owned())]);
    let outside = PredictContext {
        labels: Some(&run),
        ..PredictContext::default()
    };
    let given = [("LABEL run=harmless\n", "failed@1")];
    table("not_running_privileged", &outside, &given);
    let excused = PredictContext {
        privileged: true,
        ..outside
    };
    table(
        "not_running_privileged",
        &excused,
        &[("USER 0\n", "passed")],
    );
    table("not_running_as_root", &excused, &[("USER 0\n", "passed")]);
    let base = [
        ("USER 1\n", "passed"),
        ("FROM debian:12\n", "failed@1"),
        ("FROM q.io/x\n", "unknown"),
    ];
    table("is_rhel", &plain, &base);
}

#[test]
fn rules_come_in_the_order_of_reports_and_a_wrong_target_is_an_error() {
    let file = Dockerfile::parse("Dockerfile", UBI).unwrap();
    let found = predict(&file, &PredictContext::default()).unwrap();
    assert_eq!(found.rules.len(), 21);
    assert_eq!(found.rules[0].rule, "has_licenses");
    assert_eq!(found.rules[12].rule, "name_label_exists");
    let lints: Vec<&str> = found.lints.iter().map(|l| l.rule.as_str()).collect();
    assert_eq!(lints, ["dockerfile/inherited-label"]);
    let wrong = PredictContext {
        target: Some("x"),
        ..PredictContext::default()
    };
    assert!(predict(&file, &wrong).is_err());
}
