//! Which products and streams an image draws from, and how that is known.

use super::*;

const STREAMS: &[(&str, &str, &str, bool)] = &[
    (
        "o:redhat:rhel_eus:9.2::baseos",
        "9.2",
        "rhel-9-for-x86_64-baseos-eus-rpms",
        true,
    ),
    (
        "a:redhat:rhel_eus:9.2::appstream",
        "9.2",
        "rhel-9-for-x86_64-baseos-eus-rpms",
        true,
    ),
    (
        "o:redhat:rhel_eus:9.4::baseos",
        "9.2",
        "rhel-9-for-x86_64-baseos-eus-rpms",
        false,
    ),
    (
        "o:redhat:rhel_eus:9.4::baseos",
        "9.2",
        "rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_4",
        true,
    ),
    (
        "o:redhat:enterprise_linux:9::baseos",
        "9.2",
        "rhel-9-for-x86_64-baseos-eus-rpms",
        false,
    ),
    (
        "o:redhat:enterprise_linux:9::baseos",
        "9.5",
        "rhel-9-for-x86_64-baseos-rpms__9",
        true,
    ),
    (
        "o:redhat:enterprise_linux:9::baseos",
        "9.5",
        "rhel-9-for-x86_64-baseos-rpms__9_DOT_5",
        true,
    ),
    (
        "o:redhat:rhel_eus:9.4::baseos",
        "9.4",
        "rhel-9-for-x86_64-baseos-rpms",
        false,
    ),
    (
        "o:redhat:rhel_e4s:8.4::baseos",
        "8.4",
        "rhel-8-for-x86_64-baseos-e4s-rpms",
        true,
    ),
    (
        "o:redhat:rhel_e4s:8.6::baseos",
        "8.4",
        "rhel-8-for-x86_64-baseos-e4s-rpms",
        false,
    ),
    (
        "o:redhat:enterprise_linux:8::baseos",
        "8.4",
        "rhel-8-for-x86_64-baseos-e4s-rpms",
        false,
    ),
    (
        "o:redhat:rhel_tus:8.6::baseos",
        "8.6",
        "rhel-8-for-x86_64-baseos-tus-rpms",
        true,
    ),
    (
        "o:redhat:rhel_aus:8.6::baseos",
        "8.6",
        "rhel-8-for-x86_64-baseos-tus-rpms",
        false,
    ),
    (
        "o:redhat:rhel_aus:8.4::baseos",
        "8.4",
        "rhel-8-for-x86_64-baseos-aus-rpms",
        true,
    ),
    (
        "a:redhat:openstack:16.1::el8",
        "8.1",
        "openstack-16-for-rhel-8-x86_64-rpms",
        false,
    ),
    (
        "a:redhat:openstack:16::el8",
        "8.1",
        "openstack-16-for-rhel-8-x86_64-rpms",
        true,
    ),
    (
        "a:redhat:openstack:16::el8",
        "8.2",
        "openstack-16.1-for-rhel-8-x86_64-rpms",
        false,
    ),
    (
        "a:redhat:openstack:16.1::el8",
        "8.2",
        "openstack-16.1-for-rhel-8-x86_64-rpms",
        true,
    ),
    (
        "a:redhat:openstack:16.2::el8",
        "8.2",
        "openstack-16.1-for-rhel-8-x86_64-rpms",
        false,
    ),
    (
        "a:redhat:openstack:16.2::el8",
        "8.4",
        "openstack-16.2-for-rhel-8-x86_64-rpms",
        true,
    ),
    (
        "a:redhat:openstack:17.1::el8",
        "9.2",
        "openstack-17.1-for-rhel-9-x86_64-rpms",
        false,
    ),
    (
        "a:redhat:openstack:17.1::el9",
        "9.2",
        "openstack-17.1-for-rhel-9-x86_64-rpms",
        true,
    ),
];

#[test]
fn streams_and_layered_products_are_told_apart() {
    for (product, version, set, wanted) in STREAMS.iter().copied() {
        let row = format!("python3-gevent - {product} 21.1.2-2 x86_64");
        let hit = hits(
            &row,
            &evidence(version, &[&[set]]),
            &installed("python3-gevent-20.1-1.x86_64"),
        );
        assert_eq!(hit, wanted, "{product} | {version} | {set}");
    }
}

#[test]
fn the_main_stream_informs_an_image_on_a_stream_of_its_own_where_that_has_no_fix() {
    let file = database(&[
        (
            "RHSA-2024:1",
            Severity::Important,
            "2024-01-01",
            &["bash - o:redhat:enterprise_linux:9::baseos 5-9 x86_64"],
        ),
        (
            "RHSA-2024:2",
            Severity::Important,
            "2024-02-01",
            &[
                "tar - o:redhat:enterprise_linux:9::baseos 2-9 x86_64",
                "tar - o:redhat:rhel_eus:9.2::baseos 2-3 x86_64",
            ],
        ),
    ]);
    let database = Database::open(&file).expect("a database");
    let evidence = evidence("9.2", &[&["rhel-9-for-x86_64-baseos-eus-rpms"]]);
    let matched = matches(
        &database,
        &evidence,
        &[installed("bash-5-1.x86_64"), installed("tar-2-3.x86_64")],
        Detail::Missing,
    );
    assert_eq!(missing(&matched.missing), [] as [&str; 0]);
    assert_eq!(missing(&matched.main_stream), ["RHSA-2024:1"]);
}

#[test]
fn layers_inherit_repositories_from_below_and_not_from_above() {
    let file = database(&[(
        "RHSA-2024:1",
        Severity::Important,
        "2024-01-01",
        &["tripleo - a:redhat:openstack:16.2::el8 2-1 noarch"],
    )]);
    let database = Database::open(&file).expect("a database");
    let evidence = evidence(
        "8.4",
        &[
            &["ubi-8-baseos-rpms"],
            &[],
            &["openstack-16.2-for-rhel-8-x86_64-rpms"],
            &[],
        ],
    );
    for (layer, wanted) in [(0, 0), (1, 0), (2, 1), (3, 1), (9, 1)] {
        let package = Installed {
            layer: LayerIndex(layer),
            ..installed("tripleo-1-1.noarch")
        };
        assert_eq!(
            matches(&database, &evidence, &[package], Detail::Missing)
                .missing
                .len(),
            wanted,
            "layer {layer}"
        );
    }
}

#[test]
fn evidence_goes_by_its_strength() {
    let file = database(&[(
        "RHSA-2024:1",
        Severity::Important,
        "2024-01-01",
        &["tar - o:redhat:enterprise_linux:8::baseos 2-9 x86_64"],
    )]);
    let database = Database::open(&file).expect("a database");
    let basis = |layer: LayerEvidence, repository: Option<&str>| {
        let evidence = Evidence {
            layers: vec![layer],
            ..evidence("8.9", &[])
        };
        let package = Installed {
            repository: repository.map(str::to_owned),
            ..installed("tar-1-1.x86_64")
        };
        let matched = matches(&database, &evidence, &[package], Detail::Missing);
        assert_eq!(matched.missing.len(), 1);
        assert_eq!(
            matched.is_assumed(),
            matched.products[0].basis == Basis::Assumed
        );
        (matched.products[0].basis, matched.notes.len())
    };
    let ubi = || vec!["ubi-8-baseos-rpms".to_owned()];
    let sets = || LayerEvidence {
        content_sets: ubi(),
        ..LayerEvidence::default()
    };
    let enabled = || LayerEvidence {
        enabled: ubi(),
        ..LayerEvidence::default()
    };
    let labels = || LayerEvidence {
        cpe: Some("cpe:/a:redhat:enterprise_linux:8::appstream".to_owned()),
        ..LayerEvidence::default()
    };
    let unknown = LayerEvidence {
        content_sets: vec!["my-own-rpms".to_owned()],
        cpe: Some("x".to_owned()),
        ..LayerEvidence::default()
    };
    assert_eq!(
        basis(sets(), Some("ubi-8-baseos-rpms")),
        (Basis::History, 0)
    );
    assert_eq!(
        basis(sets(), Some("epel")),
        (Basis::Layers, 1),
        "an unknown repository is noted"
    );
    assert_eq!(basis(labels(), None), (Basis::Layers, 0));
    assert_eq!(basis(enabled(), None), (Basis::Enabled, 1));
    assert_eq!(basis(LayerEvidence::default(), None), (Basis::Assumed, 1));
    assert_eq!(basis(unknown, None), (Basis::Assumed, 3));
}

#[test]
fn a_layered_product_alone_still_has_the_release_below_it() {
    let labels = LayerEvidence {
        cpe: Some("cpe:/a:redhat:openstack:16.2::el8".to_owned()),
        ..LayerEvidence::default()
    };
    let evidence = Evidence {
        layers: vec![labels],
        ..evidence("8.4", &[])
    };
    let row = "tar - o:redhat:enterprise_linux:8::baseos 2-9 x86_64";
    assert!(hits(row, &evidence, &installed("tar-1-1.x86_64")));
}

#[test]
fn release_ten_is_named_with_a_minor_version_and_assumed_with_every_one() {
    let evidence = evidence("10.0", &[]);
    for product in [
        "o:redhat:enterprise_linux:10.0",
        "o:redhat:enterprise_linux:10.1",
    ] {
        assert!(hits(
            &format!("tar - {product} 2-9 x86_64"),
            &evidence,
            &installed("tar-1-1.x86_64")
        ));
    }
}

#[test]
fn ends_of_life_are_those_of_products_and_streams_in_use() {
    let file = database(&[]);
    let database = Database::open(&file).expect("a database");
    let mut podman = installed("podman-1-1.x86_64");
    podman.module = Some("container-tools:1.0:8000020190828150510:c294d161".to_owned());
    let ends = |version, packages: &[Installed]| {
        let matched = matches(
            &database,
            &evidence(version, &[]),
            packages,
            Detail::Missing,
        );
        matched
            .ends_of_life
            .into_iter()
            .map(|end| end.product)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ends("8.9", &[podman]),
        ["el8/container-tools:1.0", "redhat:enterprise_linux:8"]
    );
    assert_eq!(
        ends("7.9", &[installed("tar-1-1.x86_64")]),
        ["redhat:enterprise_linux:7"]
    );
}
