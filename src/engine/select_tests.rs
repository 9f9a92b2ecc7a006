use super::*;

fn unix(path: &str) -> Address {
    Address::Unix(path.into())
}

fn environment(dir: &Path) -> EngineEnvironment {
    EngineEnvironment {
        docker_config: Some(dir.to_owned()),
        ..EngineEnvironment::default()
    }
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(path)
        .unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[test]
fn without_a_word_the_docker_socket_is_taken() {
    let nothing = EngineEnvironment::default();
    assert_eq!(
        place(EngineChoice::Auto, &nothing).unwrap(),
        Place::Docker(unix(DEFAULT_SOCKET))
    );
    assert_eq!(
        place(EngineChoice::BuildKit, &nothing).unwrap(),
        Place::BuildKit(unix(DEFAULT_BUILDKIT))
    );
}

#[test]
fn hosts_are_read() {
    let tls = || certificates(Path::new("/c"));
    for (host, with_tls, address) in [
        ("unix:///x.sock", None, unix("/x.sock")),
        (
            "tcp://h:1",
            None,
            Address::Tcp {
                host: "h".into(),
                port: 1,
                tls: None,
            },
        ),
        (
            "tcp://h",
            None,
            Address::Tcp {
                host: "h".into(),
                port: 2375,
                tls: None,
            },
        ),
        (
            "tcp://h",
            Some(tls()),
            Address::Tcp {
                host: "h".into(),
                port: 2376,
                tls: Some(tls()),
            },
        ),
        (
            "tcp://[::1]:1234",
            None,
            Address::Tcp {
                host: "::1".into(),
                port: 1234,
                tls: None,
            },
        ),
    ] {
        assert_eq!(host_address(host, with_tls).unwrap(), address, "{host}");
    }
    for host in ["", "x", "npipe:////./pipe/x", "tcp://", "ssh://"] {
        assert!(host_address(host, None).is_err(), "{host}");
    }
}

#[test]
fn ssh_hosts_cannot_become_options() {
    let Address::Program { command, name } = host_address("ssh://me@host:22", None).unwrap() else {
        panic!()
    };
    assert_eq!(name, "ssh://me@host:22");
    let tail: Vec<_> = command.iter().skip_while(|word| *word != "--").collect();
    assert_eq!(tail, ["--", "host", "docker", "system", "dial-stdio"]);
    assert!(command.windows(2).any(|two| two == ["-l", "me"]));
}

#[test]
fn buildkit_host_comes_before_docker_unless_docker_was_chosen() {
    let environment = EngineEnvironment {
        buildkit_host: Some("tcp://b:1234".into()),
        docker_host: Some("unix:///d.sock".into()),
        ..EngineEnvironment::default()
    };
    let address = Address::Tcp {
        host: "b".into(),
        port: 1234,
        tls: None,
    };
    assert_eq!(
        place(EngineChoice::Auto, &environment).unwrap(),
        Place::BuildKit(address)
    );
    assert_eq!(
        place(EngineChoice::Docker, &environment).unwrap(),
        Place::Docker(unix("/d.sock"))
    );
    for host in ["b:1234", "tcp://b", "kube-pod://x"] {
        let environment = EngineEnvironment {
            buildkit_host: Some(host.into()),
            ..EngineEnvironment::default()
        };
        assert!(place(EngineChoice::Auto, &environment).is_err(), "{host}");
    }
}

#[test]
fn the_current_docker_context_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    put(
        &dir.path().join("config.json"),
        r#"{"currentContext":"remote","auths":{}}"#,
    );
    let id = hex(&Sha256::digest(b"remote"));
    let meta = r#"{"Name":"remote","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://r:2376","SkipTLSVerify":false}}}"#;
    put(
        &dir.path().join("contexts/meta").join(&id).join("meta.json"),
        meta,
    );
    let tls = dir.path().join("contexts/tls").join(&id).join("docker");
    put(&tls.join("ca.pem"), "");
    let address = Address::Tcp {
        host: "r".into(),
        port: 2376,
        tls: Some(certificates(&tls)),
    };
    let mut environment = environment(dir.path());
    assert_eq!(docker_address(&environment).unwrap(), address);
    environment.docker_context = Some("default".into());
    assert_eq!(docker_address(&environment).unwrap(), unix(DEFAULT_SOCKET));
    environment.docker_context = Some("unknown".into());
    assert!(
        docker_address(&environment)
            .unwrap_err()
            .to_string()
            .contains("unknown")
    );
}

#[test]
fn buildx_builders_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let instances = dir.path().join("buildx/instances");
    let container = r#"{"Name":"c","Driver":"docker-container","Nodes":[{"Name":"c0","Endpoint":"unix:///var/run/docker.sock","DriverOpts":null}]}"#;
    put(&instances.join("c"), container);
    let remote = r#"{"Name":"r","Driver":"remote","Nodes":[{"Name":"r0","Endpoint":"tcp://b:1","DriverOpts":{"cacert":"/ca.pem"}}]}"#;
    put(&instances.join("r"), remote);
    put(
        &instances.join("k"),
        r#"{"Driver":"kubernetes","Nodes":[{"Name":"k0"}]}"#,
    );
    put(&instances.join("broken"), "{");
    let place_of = |builder: &str| {
        let mut environment = environment(dir.path());
        environment.buildx_builder = Some(builder.into());
        place(EngineChoice::Auto, &environment)
    };
    let Place::BuildKit(Address::Program { command, .. }) = place_of("c").unwrap() else {
        panic!()
    };
    assert_eq!(
        command.join(" "),
        "docker --host unix:///var/run/docker.sock exec -i buildx_buildkit_c0 buildctl dial-stdio"
    );
    let Place::BuildKit(Address::Tcp { tls: Some(tls), .. }) = place_of("r").unwrap() else {
        panic!()
    };
    assert_eq!(tls.ca, Path::new("/ca.pem"));
    assert_eq!(
        place_of("default").unwrap(),
        Place::Docker(unix(DEFAULT_SOCKET))
    );
    for builder in ["k", "missing", "broken", "../config.json"] {
        assert!(place_of(builder).is_err(), "{builder}");
    }
}
