//! Domains that the edge serves by itself, with certificates of a real ACME server: Pebble, which Let's Encrypt tests its clients with.

use std::fs;
use std::path::Path;

use crate::control_repo::{ControlRepo, passed};
use crate::deploy::{App, code};
use crate::journey::{Journey, Observer};
use crate::scaffold::{KINDS, made, ready, run};
use crate::support::lab;

const NAME: &str = "shop.example.org";

/// Pebble asks at the name's address, as the CA of a public host does; it takes that from the host's own `hosts`.
const PEBBLE: &str = r#"cd /root && echo "127.0.0.1 shop.example.org" >>/etc/hosts && mkdir -p /etc/factory/edge.d &&
openssl req -x509 -newkey rsa:2048 -nodes -keyout pebble.key -out /etc/factory/edge.d/pebble.pem -days 9 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null &&
printf '{"pebble":{"listenAddress":"127.0.0.1:14000","managementListenAddress":"127.0.0.1:15000","certificate":"/etc/factory/edge.d/pebble.pem","privateKey":"/root/pebble.key","httpPort":80,"tlsPort":443}}' >pebble.json &&
printf 'acme_ca https://localhost:14000/dir\nacme_ca_root /etc/factory/edge.d/pebble.pem\n' >/etc/factory/edge.d/acme.caddy &&
systemd-run --quiet --unit pebble -p Environment='PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0' /usr/local/bin/pebble -config /root/pebble.json &&
curl -fsSk --retry 20 --retry-connrefused https://localhost:15000/roots/0 >/usr/local/share/ca-certificates/pebble.crt &&
update-ca-certificates >/dev/null 2>&1"#;

#[test]
#[ignore = "tests/judges/acme builds Pebble, and runs this"]
fn the_edge_gets_certificates_for_domains_where_the_ports_are_open() {
    assert!(ready() && lab::can_host());
    let pebble = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/cache/judges/pebble");
    let mut journey = Journey::new();
    journey.provision();
    fs::copy(&pebble, journey.host.rootfs().join("usr/local/bin/pebble")).unwrap();
    let control = ControlRepo::new("defaults");
    let [site, shop] = KINDS.map(|(kind, name)| (made(&control, kind, name), name));
    {
        let site = App { journey: &journey, folder: site.0.clone(), name: site.1, port: 8100 };
        release(&site, "1.0.0");
        let said = code(&site.install("1.0.0"), 69);
        assert!(said.contains("whose ports are closed") && said.contains("factoryup apply host"), "{said}");
        assert_eq!(journey.inside("ls /srv/apps/site/releases 2>/dev/null; ss -Hltn 'sport = :443'"), "");
    }
    journey.factory.host.open = vec!["80/tcp".into(), "443/tcp".into()];
    journey.provision();
    journey.inside(PEBBLE);
    let serial = {
        let site = App { journey: &journey, folder: site.0.clone(), name: site.1, port: 8100 };
        let shop = App { journey: &journey, folder: shop.0.clone(), name: shop.1, port: 8102 };
        serves_and_switches(&site);
        one_domain_has_one_application(&shop);
        let serial = serial(&journey);
        for deed in ["reload", "restart"] {
            journey.inside(&format!("systemctl {deed} factory-edge"));
            assert!(page(&site).contains("1.1.0"), "after a {deed}");
            assert_eq!(self::serial(&journey), serial, "after a {deed}");
        }
        serial
    };
    journey.host.cut_power().unwrap();
    journey.wait_until("curl -fsS http://127.0.0.1:8100/version.json");
    assert_eq!(self::serial(&journey), serial, "after a power cut");
    // Closed again, it goes on behind the port.
    journey.factory.host.open = Vec::new();
    journey.watch = Observer::yes();
    journey.provision();
    journey.wait_until("curl -fsS http://127.0.0.1:8100/version.json");
    assert_eq!(journey.inside("ss -Hltn 'sport = :443 or sport = :80'"), "");
    journey.inside("factory-deploy remove");
    assert_eq!(journey.inside("ls -d /var/lib/factory-edge /etc/factory/domains 2>/dev/null || true"), "");
}

fn release(app: &App<'_>, version: &str) {
    let conf = fs::read_to_string(app.folder.join(".factory/app.conf")).unwrap();
    if !conf.contains("\ndomain.") {
        fs::write(app.folder.join(".factory/app.conf"), format!("{conf}domain.production={NAME}\n")).unwrap();
    }
    if app.name == "site" {
        fs::write(app.folder.join("public/version.json"), format!("{{\"version\": \"{version}\"}}\n")).unwrap();
    }
    app.build(version);
}

/// What a visitor gets, from outside the host.
fn page(app: &App<'_>) -> String {
    let host = &app.journey.host;
    let root = host.rootfs().join("usr/local/share/ca-certificates/pebble.crt");
    let (address, root) = (format!("{NAME}:443:{}", host.address()), root.to_str().unwrap().to_owned());
    let url = format!("https://{NAME}/version.json");
    passed(&run(
        &app.folder,
        "curl",
        &["-fsS", "--retry", "5", "--retry-connrefused", "--cacert", &root, "--resolve", &address, &url],
    ))
}

fn serial(journey: &Journey) -> String {
    let ask = format!(
        "openssl s_client -connect 127.0.0.1:443 -servername {NAME} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    let said = journey.inside(&ask);
    assert!(said.starts_with("serial="), "{said}");
    said
}

fn serves_and_switches(site: &App<'_>) {
    passed(&site.deploy(".factory/check"));
    let said = passed(&site.install("1.0.0"));
    assert!(said.contains(&format!("1.0.0 serves on https://{NAME}")), "{said}");
    assert!(page(site).contains("1.0.0"));
    let to = site.journey.host.address();
    let plain =
        ["-sS", "--resolve", &format!("{NAME}:80:{to}"), "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"];
    let moved = passed(&run(&site.folder, "curl", &[&plain[..], &[&format!("http://{NAME}/version.json")]].concat()));
    assert_eq!(moved.trim(), format!("308 https://{NAME}/version.json"));
    release(site, "1.1.0");
    passed(&site.install("1.1.0"));
    assert!(page(site).contains("1.1.0"));
    fs::remove_file(site.folder.join("public/index.html")).unwrap();
    release(site, "1.2.0");
    code(&site.install("1.2.0"), 76);
    assert!(page(site).contains("1.1.0"));
    let status = site.status();
    assert_eq!((&status["domain"], &status["https"]), (&NAME.into(), &true.into()), "{status}");
    // The keys are the edge's alone.
    assert_eq!(site.journey.inside("stat -c '%U %a' /var/lib/factory-edge"), "factory-edge 700");
}

fn one_domain_has_one_application(shop: &App<'_>) {
    release(shop, "1.0.0");
    let said = code(&shop.install("1.0.0"), 65);
    assert!(said.contains("shop.example.org, is the domain of site"), "{said}");
    for domain in ["localhost", "a b.org", "*.example.org", "a.org:443", "a.org { }", "Shop.example.org"] {
        shop.edit(".factory/app.conf", &format!("domain.production={NAME}"), &format!("domain.production={domain}"));
        shop.build("1.0.1");
        assert!(code(&shop.install("1.0.1"), 65).contains("domain.production in its"), "{domain}");
        shop.edit(".factory/app.conf", &format!("domain.production={domain}"), &format!("domain.production={NAME}"));
    }
    let with_none = "# domain";
    shop.edit(".factory/app.conf", "domain.production", with_none);
    shop.build("1.0.2");
    passed(&shop.install("1.0.2"));
}
