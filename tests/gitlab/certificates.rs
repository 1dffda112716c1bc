//! TLS with a certificate authority of one's own: refused, until `SSL_CERT_FILE` names it.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::situation::factory;
use super::support;

/// `openssl s_server`, ended when dropped.
struct TlsServer(Child);

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Leaves `ca.pem`, and `certificate.pem` with `key.pem` for a host of this name.
pub(super) fn issue(at: &Path, name: &str) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=Own CA", "-keyout", "ca-key.pem", "-out", "ca.pem"];
    let subject = format!("/CN={name}");
    let request = ["req", "-new", "-subj", &subject, "-keyout", "key.pem", "-out", "request.pem"];
    let signing = [
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca-key.pem",
        "-set_serial",
        "1",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "certificate.pem",
    ];
    std::fs::write(at.join("names"), format!("subjectAltName=DNS:{name}\n")).unwrap();
    assert!(openssl(at, &[&authority[..], &key].concat()).status().unwrap().success());
    assert!(openssl(at, &[&request[..], &key].concat()).status().unwrap().success());
    assert!(openssl(at, &signing).status().unwrap().success());
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    if !support::available(&["openssl", "git"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    issue(at, "localhost");
    let (port, server) = support::start_server(|port| {
        let accept = format!("127.0.0.1:{port}");
        let server = ["s_server", "-accept", &accept, "-cert", "certificate.pem", "-key", "key.pem", "-www", "-quiet"];
        openssl(at, &server).spawn().unwrap()
    });
    let _server = TlsServer(server);

    let text = factoryup::factory::to_toml(&factory(&format!("https://localhost:{port}"))).unwrap();
    std::fs::File::create(at.join("factory.toml")).unwrap().write_all(text.as_bytes()).unwrap();
    let plan = |certificates: Option<&str>| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_factoryup"));
        command.args(["plan", "gitlab", "--dir"]).arg(at).env("FACTORYUP_GITLAB_TOKEN", "glpat-canary");
        command.env("XDG_STATE_HOME", at.join("state")).env_remove("SSL_CERT_FILE").stdin(Stdio::null());
        if let Some(file) = certificates {
            command.env("SSL_CERT_FILE", at.join(file));
        }
        command.output().unwrap()
    };

    let untrusted = plan(None);
    let said = String::from_utf8_lossy(&untrusted.stderr);
    assert_eq!(untrusted.status.code(), Some(69), "{said}");
    assert!(said.contains("its certificate is not trusted") && said.contains("SSL_CERT_FILE"), "{said}");

    // Now TLS is through, and what answers is no GitLab.
    let trusted = plan(Some("ca.pem"));
    let said = String::from_utf8_lossy(&trusted.stderr);
    assert_eq!(trusted.status.code(), Some(65), "{said}");
    assert!(said.contains("does not answer like GitLab"), "{said}");

    let wrong = plan(Some("factory.toml"));
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(64), "{said}");
    assert!(said.contains("it contains no PEM certificate"), "{said}");
}
