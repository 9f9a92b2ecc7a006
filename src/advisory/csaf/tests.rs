use proptest::prelude::*;

use super::*;

/// A document with one vulnerability; `tree` is the product tree and `fixed` the fixed ids.
fn document(tree: &str, fixed: &str) -> String {
    format!(
        r#"{{"document": {{"aggregate_severity": {{"text": "important"}}, "category": "csaf_security_advisory",
        "csaf_version": "2.0", "title": "Red Hat Security Advisory: telnet security update",
        "tracking": {{"id": "RHSA-2022:0011", "initial_release_date": "2022-01-04T08:38:00Z",
        "current_release_date": "2023-01-04T08:38:00Z"}}}},
        "product_tree": {tree},
        "vulnerabilities": [{{"cve": "CVE-2020-10188", "product_status": {{"fixed": {fixed}}},
        "remediations": [{{"category": "vendor_fix", "details": "x"}}],
        "threats": [{{"category": "impact", "details": "Important"}}]}}]}}"#
    )
}

const NESTED: &str = r#"{"branches": [{"category": "vendor", "name": "Red Hat", "branches": [
    {"category": "product_family", "branches": [
        {"category": "product_name", "product": {"name": "AUS", "product_id": "7.6.AUS", "product_identification_helper": {"cpe": "cpe:/o:redhat:rhel_aus:7.6::server"}}}]},
    {"category": "architecture", "branches": [
        {"category": "product_version", "product": {"name": "t", "product_id": "telnet-1:0.17-65.el7_6.x86_64"}},
        {"category": "product_version", "product": {"name": "t", "product_id": "telnet-1:0.17-65.el7_6.s390x"}},
        {"category": "product_version", "product": {"name": "t", "product_id": "telnet-1:0.17-65.el7_6.src"}}]}]}],
    "relationships": [
        {"category": "default_component_of", "full_product_name": {"name": "x", "product_id": "7.6.AUS:t.x86_64"}, "product_reference": "telnet-1:0.17-65.el7_6.x86_64", "relates_to_product_reference": "7.6.AUS"},
        {"category": "default_component_of", "full_product_name": {"name": "x", "product_id": "7.6.AUS:t.s390x"}, "product_reference": "telnet-1:0.17-65.el7_6.s390x", "relates_to_product_reference": "7.6.AUS"},
        {"category": "default_component_of", "full_product_name": {"name": "x", "product_id": "7.6.AUS:t.src"}, "product_reference": "telnet-1:0.17-65.el7_6.src", "relates_to_product_reference": "7.6.AUS"}]}"#;

/// The same facts without nesting, with package URLs, as 2.1 and the newer generator write them.
const FLAT: &str = r#"{"branches": [{"category": "vendor", "name": "Red Hat", "branches": [
        {"category": "product_name", "product": {"name": "AUS", "product_id": "7.6.AUS", "product_identification_helper": {"cpe": "cpe:/o:redhat:rhel_aus:7.6::server"}}},
        {"category": "product_version", "product": {"name": "t", "product_id": "a", "product_identification_helper": {"purls": ["pkg:rpm/redhat/telnet@0.17-65.el7_6?arch=x86_64&epoch=1"]}}},
        {"category": "product_version", "product": {"name": "t", "product_id": "b", "product_identification_helper": {"purl": "pkg:rpm/redhat/telnet@0.17-65.el7_6?arch=s390x&epoch=1"}}},
        {"category": "product_version", "product": {"name": "t", "product_id": "c", "product_identification_helper": {"purl": "pkg:rpm/redhat/telnet@0.17-65.el7_6?arch=src&epoch=1"}}}]}],
    "product_paths": [
        {"beginning_product_reference": "a", "full_product_name": {"name": "x", "product_id": "7.6.AUS:t.x86_64"}, "subpaths": [{"category": "default_component_of", "next_product_reference": "7.6.AUS"}]},
        {"beginning_product_reference": "b", "full_product_name": {"name": "x", "product_id": "7.6.AUS:t.s390x"}, "subpaths": [{"category": "default_component_of", "next_product_reference": "7.6.AUS"}]},
        {"beginning_product_reference": "c", "full_product_name": {"name": "x", "product_id": "7.6.AUS:t.src"}, "subpaths": [{"category": "default_component_of", "next_product_reference": "7.6.AUS"}]}]}"#;

const FIXED: &str = r#"["7.6.AUS:t.x86_64", "7.6.AUS:t.s390x", "7.6.AUS:t.src"]"#;

fn read(tree: &str, fixed: &str) -> Parsed {
    parse(document(tree, fixed).as_bytes()).expect("a document")
}

#[test]
fn trees_of_any_shape_give_the_same_rows() {
    let nested = read(NESTED, FIXED);
    assert_eq!(nested, read(FLAT, FIXED));
    let [row] = &nested.advisory.rows[..] else {
        panic!("{:?}", nested.advisory.rows);
    };
    assert_eq!(
        (&*row.name, row.fixed.to_string().as_str()),
        ("telnet", "1:0.17-65.el7_6")
    );
    assert_eq!(&*row.cpe, "cpe:/o:redhat:rhel_aus:7.6::server");
    assert_eq!(row.arches.names().collect::<Vec<_>>(), ["x86_64", "s390x"]);
    assert_eq!((nested.aside, nested.other, nested.faults.len()), (1, 0, 0));
}

#[test]
fn facts_are_read() {
    let advisory = read(NESTED, FIXED).advisory;
    assert_eq!(advisory.severity, Severity::Important);
    assert_eq!(advisory.title, "telnet security update");
    assert_eq!(advisory.released.to_string(), "2022-01-04T08:38:00Z");
    assert_eq!(advisory.revised.to_string(), "2023-01-04T08:38:00Z");
    assert_eq!(
        advisory.cves.into_iter().collect::<Vec<_>>(),
        ["CVE-2020-10188"]
    );
}

#[test]
fn a_dated_fix_goes_before_the_first_release_of_the_document() {
    let dated = document(NESTED, FIXED).replace(
        r#""vendor_fix", "#,
        r#""vendor_fix", "date": "2022-01-03T00:00:00+00:00", "#,
    );
    let parsed = parse(dated.as_bytes()).expect("a document");
    assert_eq!(parsed.advisory.released.to_string(), "2022-01-03T00:00:00Z");
}

#[test]
fn without_aggregate_severity_the_worst_impact_counts() {
    let without = document(NESTED, FIXED).replace(r#""aggregate_severity""#, r#""unknown""#);
    let parsed = parse(without.as_bytes()).expect("a document");
    assert_eq!(parsed.advisory.severity, Severity::Important);
}

#[test]
fn modules_come_from_a_node_between_from_the_package_or_from_the_title() {
    let tree = r#"{"branches": [
        {"category": "product_name", "product": {"name": "8", "product_id": "8", "product_identification_helper": {"cpe": "cpe:/a:redhat:enterprise_linux:8::appstream"}}},
        {"category": "product_version", "product": {"name": "m", "product_id": "m", "product_identification_helper": {"purl": "pkg:rpmmod/redhat/python36@3.6:8040020241213073301:9bf6f064"}}},
        {"category": "product_version", "product": {"name": "p", "product_id": "p", "product_identification_helper": {"purl": "pkg:rpm/redhat/python36@3.6.8-2.module%2Bel8?arch=x86_64"}}}],
      "relationships": [
        {"full_product_name": {"name": "x", "product_id": "8:m"}, "product_reference": "m", "relates_to_product_reference": "8"},
        {"full_product_name": {"name": "x", "product_id": "8:m:p"}, "product_reference": "p", "relates_to_product_reference": "8:m"},
        {"full_product_name": {"name": "x", "product_id": "8:p"}, "product_reference": "p", "relates_to_product_reference": "8"}]}"#;
    let between = read(tree, r#"["8:m", "8:m:p"]"#);
    assert_eq!(
        between.advisory.rows[0].module.as_deref(),
        Some("python36:3.6")
    );
    assert_eq!(between.other, 1, "the module itself");

    let nowhere = read(tree, r#"["8:p"]"#);
    assert!(nowhere.advisory.rows.is_empty());
    assert!(
        nowhere.faults[0].reason.contains("no module is named"),
        "{:?}",
        nowhere.faults
    );

    let titled = document(tree, r#"["8:p"]"#).replace(
        "telnet security",
        "python36:3.6 and virt-devel:rhel security",
    );
    let titled = parse(titled.as_bytes()).expect("a document").advisory;
    let modules: Vec<_> = titled
        .rows
        .iter()
        .filter_map(|row| row.module.as_deref())
        .collect();
    assert_eq!(modules, ["python36:3.6", "virt-devel:rhel"]);
}

#[test]
fn what_cannot_be_read_in_a_document_is_listed_and_the_rest_is_used() {
    let tree = FLAT.replace("arch=s390x", "arch=z80");
    let parsed = read(
        &tree,
        r#"["7.6.AUS:t.x86_64", "7.6.AUS:t.s390x", "nowhere"]"#,
    );
    assert_eq!(parsed.advisory.rows.len(), 1);
    let reasons: Vec<_> = parsed
        .faults
        .iter()
        .map(|fault| fault.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "architecture `z80` is not known",
            "the product tree does not define `nowhere`"
        ]
    );
}

#[test]
fn references_in_a_circle_end() {
    let tree = r#"{"relationships": [{"full_product_name": {"name": "x", "product_id": "a"}, "product_reference": "a", "relates_to_product_reference": "a"}]}"#;
    let parsed = read(tree, r#"["a"]"#);
    assert!(
        parsed.faults[0].reason.contains("deeper"),
        "{:?}",
        parsed.faults
    );
}

#[test]
fn references_that_fan_out_end() {
    let level = |from: usize| {
        let step = format!(r#"{{"next_product_reference": "{}"}}"#, from + 1);
        let steps = vec![step; 500].join(",");
        format!(
            r#"{{"full_product_name": {{"name": "x", "product_id": "{from}"}}, "beginning_product_reference": "9", "subpaths": [{steps}]}}"#
        )
    };
    let levels: Vec<_> = (0..5).map(level).collect();
    let tree = format!(
        r#"{{"full_product_names": [{{"name": "x", "product_id": "5"}}, {{"name": "x", "product_id": "9"}}], "product_paths": [{}]}}"#,
        levels.join(",")
    );
    let parsed = read(&tree, r#"["0"]"#);
    assert!(
        parsed.faults[0].reason.contains("more than"),
        "{:?}",
        parsed.faults
    );
}

#[test]
fn documents_that_cannot_be_used_say_where_and_why() {
    let good = document(NESTED, FIXED);
    for (from, to, wanted) in [
        (
            "\"2.0\"",
            "\"3.0\"",
            "`document.csaf_version` is `3.0`, and 2.0 and 2.1 are read",
        ),
        (
            "RHSA-2022:0011",
            "CVE-2024-6923",
            "`document.tracking.id` is `CVE-2024-6923`, which is no Red Hat advisory",
        ),
        (
            "\"initial_release_date\"",
            "\"initial\"",
            "`document.tracking.initial_release_date` is missing",
        ),
        (
            "\"2022-01-04T08:38:00Z\"",
            "\"yesterday\"",
            "`document.tracking.initial_release_date` is `yesterday`, which is no date and time with offset",
        ),
        (
            "\"important\"",
            "\"High\"",
            "`document.aggregate_severity.text` is `High`, which is no severity such as `Important`",
        ),
    ] {
        let error = parse(good.replacen(from, to, 1).as_bytes()).expect_err(wanted);
        assert_eq!(error.to_string(), wanted);
    }
    for (from, to, path) in [
        ("\"RHSA-2022:0011\"", "7", "document.tracking.id"),
        (
            "\"7.6.AUS:t.x86_64\", \"7.6.AUS:t.s390x\"",
            "[]",
            "vulnerabilities[0].product_status.fixed[0]",
        ),
    ] {
        let error = parse(good.replace(from, to).as_bytes()).expect_err(path);
        assert!(
            error.to_string().contains(&format!("at `{path}`")),
            "{error}"
        );
    }
    assert!(parse(b"").is_err());
    assert!(parse(b"{}").is_err());
    let deep = format!("{{\"product_tree\": {}", "{\"branches\": [".repeat(100_000));
    assert!(parse(deep.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn damaged_documents_end_without_panic(at in 0usize..4000, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = document(FLAT, FIXED).into_bytes();
        let at = at % bytes.len();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        let _ = parse(&bytes);
    }
}

#[test]
fn a_module_that_only_the_id_names_is_found() {
    let id = "ruby-0:3.1.4-142.module+el8.x86_64::ruby:3.1";
    let tree = format!(
        r#"{{"branches": [
        {{"product": {{"product_id": "8", "product_identification_helper": {{"cpe": "cpe:/a:redhat:enterprise_linux:8::appstream"}}}}}},
        {{"product": {{"product_id": "{id}", "product_identification_helper": {{"purl": "pkg:rpm/redhat/ruby@3.1.4-142.module%2Bel8?arch=x86_64"}}}}}}],
      "relationships": [{{"full_product_name": {{"product_id": "8:r"}}, "product_reference": "{id}", "relates_to_product_reference": "8"}}]}}"#
    );
    let parsed = read(&tree, r#"["8:r"]"#);
    assert_eq!(parsed.advisory.rows[0].module.as_deref(), Some("ruby:3.1"));
}
