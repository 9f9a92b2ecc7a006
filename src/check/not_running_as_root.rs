//! The image's user is not root.

use super::{Check, Need, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::{HIGHEST_UID, User},
    rule::Rule,
    subject::Subject,
};

crate::rule! {
    /// # What it requires
    /// The last `USER` of the Dockerfile (or of its base image) is neither root nor absent. `0`, `00`,
    /// `0:0`, `root`, `root:root` and `:0` are all root, as is a name that `/etc/passwd` gives the
    /// uid 0. A name that is not in `/etc/passwd` fails too: such a container cannot start.
    ///
    /// Where the project is marked privileged, the rule does not apply.
    ///
    /// # Why
    /// A process that is root in a container is root on the host the moment it breaks out. OpenShift
    /// starts containers under a high random uid anyway; an image that counts on root fails there.
    ///
    /// # How to fix
    /// End the Dockerfile with a user, best a number, so that Kubernetes can check `runAsNonRoot`
    /// before it starts the container:
    ///
    /// ```dockerfile
    /// USER 1001
    /// ```
    ///
    /// Steps that need root go before that line. Give files that the program writes to the group 0
    /// (`chgrp -R 0 /data && chmod -R g=u /data`), because the random uid is a member of it.
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - [OpenShift, supporting arbitrary user ids](https://docs.openshift.com/container-platform/4.6/openshift_images/create-images.html#support-arbitrary-user-ids)
    /// - openshift-preflight: `RunAsNonRoot`, which compares with `0` and `root` only
    static NOT_RUNNING_AS_ROOT = {
        id: "not_running_as_root",
        title: "the image runs as root",
        aliases: ["RunAsNonRoot"],
        level: Required,
        origin: Service,
        since: "0.1.0",
        security_severity: "6.0",
    }
}

pub(super) struct NotRunningAsRoot;

impl Check for NotRunningAsRoot {
    fn rule(&self) -> &'static Rule {
        &NOT_RUNNING_AS_ROOT
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        if subject.privileged {
            return Verdict::NotApplicable(
                "the project is marked privileged, so the image may run as root".to_owned(),
            );
        }
        let passwd = subject
            .inventory
            .kept_file("/etc/passwd")
            .unwrap_or_default();
        match judge(subject.config.user(), passwd) {
            Ok(note) => passed(note),
            Err(message) => Verdict::Failed(vec![
                Finding::new("user", message)
                    .at(subject.at_user())
                    .remedy("end the last stage with a user that is not root")
                    .patch("USER 1001"),
            ]),
        }
    }
}

/// A note, or what is wrong.
fn judge(user: &str, passwd: &[u8]) -> Result<String, String> {
    let name = match User::from(user) {
        User::Unset => return Err("no `USER` is set, so the image runs as root".to_owned()),
        User::Unnamed => {
            return Err(format!(
                "`USER {user}` names no user, so the image runs as root"
            ));
        }
        User::Root => return Err(format!("`USER {user}` is root")),
        User::Uid(uid) => return Ok(format!("`USER {user}`, uid {uid}")),
        User::OutOfRange => {
            return Err(format!(
                "`USER {user}` is no uid: it must be from 1 to {HIGHEST_UID}"
            ));
        }
        User::Name(name) => name,
    };
    let uids = uids(name, passwd);
    match uids.first() {
        _ if uids.contains(&0) => Err(format!(
            "`USER {user}` is root: `/etc/passwd` gives `{name}` the uid 0"
        )),
        Some(uid) => Ok(format!(
            "`USER {user}`, uid {uid} by `/etc/passwd`; as a number Kubernetes could check it before the start"
        )),
        None => Err(format!(
            "`USER {user}`: `{name}` is not in `/etc/passwd`, so a container cannot start, and it is not known to be other than root"
        )),
    }
}

/// The uids that passwd(5) gives a name.
fn uids(name: &str, passwd: &[u8]) -> Vec<u32> {
    String::from_utf8_lossy(passwd)
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next()? == name;
            let uid = fields.nth(1)?.trim().parse().ok()?;
            found.then_some(uid)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, line};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        toor:x:0:0::/:/bin/sh\n\
        cinder:x:165:165:OpenStack Cinder:/var/lib/cinder:/sbin/nologin\n\
        twice:x:7:7::/:\ntwice:x:0:0::/:\n\
        zero:x:00:0::/:\n\
        1001:x:0:0::/:\n\
        broken\n\
        nouid:x:abc:0::/:\n";

    #[test]
    fn every_form_of_user_is_read_as_runtimes_read_it() {
        let table: &[(&str, bool)] = &[
            ("", false),
            ("0", false),
            ("00", false),
            ("000", false),
            ("+0", false),
            ("-0", false),
            ("0:0", false),
            ("0:1001", false),
            ("00:1001", false),
            (":0", false),
            (":1001", false),
            (":", false),
            ("root", false),
            ("root:root", false),
            ("root:1001", false),
            ("toor", false),
            ("toor:cinder", false),
            ("zero", false),
            ("twice", false),
            ("nobody-such", false),
            ("Root", false),
            ("nouid", false),
            ("broken", false),
            ("${APP_USER}", false),
            (" 0", false),
            ("-1", false),
            ("4294967296", false),
            ("99999999999999999999", false),
            ("-", false),
            ("1", true),
            ("1001", true),
            ("1001:0", true),
            ("1001:root", true),
            ("01001", true),
            ("2147483647", true),
            ("2147483648", false),
            ("cinder", true),
            ("cinder:root", true),
            ("cinder:0", true),
        ];
        for (user, passes) in table {
            let verdict = judge(user, PASSWD.as_bytes());
            assert_eq!(verdict.is_ok(), *passes, "{user:?}: {verdict:?}");
        }
    }

    #[test]
    fn messages_say_what_is_wrong() {
        for (user, message) in [
            ("", "no `USER` is set, so the image runs as root"),
            ("0:0", "`USER 0:0` is root"),
            (
                "toor",
                "`USER toor` is root: `/etc/passwd` gives `toor` the uid 0",
            ),
        ] {
            assert_eq!(judge(user, PASSWD.as_bytes()).unwrap_err(), message);
        }
        let absent = judge("cinder", b"").unwrap_err();
        assert!(absent.contains("not in `/etc/passwd`"), "{absent}");
    }

    #[test]
    fn the_finding_lies_at_user_else_at_from() {
        let at = |image: Image, user: Option<u32>| {
            let mut subject = image.dockerfile("Containerfile", 2).build();
            subject.origins.user = user.map(line);
            match NotRunningAsRoot.assess(&subject) {
                Verdict::Failed(findings) => findings[0].location.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(at(Image::good().user("0"), Some(15)), Some(line(15)));
        assert_eq!(at(Image::good().user(""), None), Some(line(1)));
    }

    #[test]
    fn passwd_is_found_through_links_and_a_privileged_project_is_not_concerned() {
        let mut subject = Image::good()
            .user("cinder")
            .tree(&["etc/passwd -> ../usr/etc/passwd"])
            .file("usr/etc/passwd", PASSWD)
            .build();
        assert!(matches!(
            NotRunningAsRoot.assess(&subject),
            Verdict::Passed { .. }
        ));
        subject.config.config.as_mut().unwrap().user = Some("root".to_owned());
        subject.privileged = true;
        assert!(matches!(
            NotRunningAsRoot.assess(&subject),
            Verdict::NotApplicable(_)
        ));
    }
}
