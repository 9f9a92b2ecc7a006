//! Debian's `docker-registry` on loopback.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::command;

/// A running registry; stops when dropped.
pub(crate) struct Registry {
    process: Child,
    /// `localhost:PORT`
    pub(crate) address: String,
    /// configuration, certificates, data
    pub(crate) dir: tempfile::TempDir,
}

impl Registry {
    /// `tls` goes into the configuration's `http:`, `more` after it. `None` without the program.
    pub(crate) fn start(dir: tempfile::TempDir, tls: &str, more: &str) -> Option<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("localhost:{}", free.local_addr().unwrap().port());
        drop(free);
        let data = dir.path().join("data");
        let config = format!(
            "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: false}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"{address}\", secret: x{tls}}}\n{more}\n",
            data.display()
        );
        let path = dir.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let log = std::fs::File::create(dir.path().join("access.log")).unwrap();
        let process = command("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let registry = Self {
            process,
            address,
            dir,
        };
        for _ in 0..100 {
            if std::net::TcpStream::connect(&registry.address).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen");
    }

    /// With TLS, and `user` with this password; an authority `ca.crt` lies in its directory. `None`
    /// when a program is missing.
    pub(crate) fn guarded(password: &str, more_tls: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path()).ok()?;
        let hash = run(command("htpasswd").args(["-Bbn", "user", password])).ok()?;
        std::fs::write(dir.path().join("htpasswd"), hash).unwrap();
        let at = dir.path().display().to_string();
        let tls = format!(", tls: {{certificate: {at}/srv.crt, key: {at}/srv.key{more_tls}}}");
        let tls = tls.replace("DIR", &at);
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}");
        Self::start(dir, &tls, &auth)
    }

    /// What was asked so far: `METHOD PATH`, one each.
    pub(crate) fn requests(&self) -> Vec<String> {
        // The registry writes the line after the answer.
        std::thread::sleep(Duration::from_millis(200));
        let log = std::fs::read_to_string(self.dir.path().join("access.log")).unwrap();
        log.lines()
            .filter_map(|line| Some(line.split('"').nth(1)?.to_owned()))
            .filter(|line| line.ends_with("HTTP/1.1") || line.ends_with("HTTP/2.0"))
            .collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// An authority, and certificates of it: `srv` for localhost and registry.test, `client`.
pub(crate) fn certificates(dir: &Path) -> Result<(), String> {
    let openssl = |args: &str| run(command("openssl").current_dir(dir).args(args.split(' ')));
    std::fs::write(
        dir.join("ext"),
        "subjectAltName=DNS:localhost,DNS:registry.test\nextendedKeyUsage=serverAuth,clientAuth\n",
    )
    .unwrap();
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.crt -subj /CN=test -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
    )?;
    for name in ["srv", "client"] {
        let subject = if name == "srv" { "localhost" } else { "client" };
        openssl(&format!(
            "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={subject}"
        ))?;
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out {name}.crt"
        ))?;
    }
    Ok(())
}
