//! The Redis of an application on a real host: no port, no other account, and there again after whatever ends it.

use crate::control_repo::passed;
use crate::deploy::{App, code};

/// What a command of the request's says.
const SERVE: &str = r#"elif path == "/redis":
            import subprocess
            from urllib.parse import unquote
            words = unquote(self.path.partition("?")[2]).split()
            command = ["redis-cli", "-s", os.environ["REDIS_URL"].partition("unix://")[2], *words]
            self.answer(200, {"said": subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()})
        elif path == "/count":"#;

/// A command with `%20` between its words.
pub(crate) fn said(app: &App<'_>, command: &str) -> String {
    let said: serde_json::Value = serde_json::from_str(&app.get(&format!("/redis?{command}"))).unwrap();
    said["said"].as_str().unwrap().to_owned()
}

pub(crate) fn each_application_has_its_own(app: &App<'_>) {
    let journey = app.journey;
    app.edit(".factory/app.conf", "service.postgres=yes", "service.postgres=yes\nservice.redis=yes\nredis_memory=8M");
    app.edit("bin/serve", "elif path == \"/count\":", SERVE);
    app.build("2.4.0");
    passed(&app.install("2.4.0"));
    assert_eq!((said(app, "set%20mine%20kept").as_str(), said(app, "get%20mine").as_str()), ("OK", "kept"));
    assert_eq!(app.status()["services"]["redis"]["state"], "active");
    // No port, and no other account.
    assert_eq!(journey.inside("ss -Hltn 'sport = :6379'; ps -o user= -C redis-server"), "app-shop");
    for user in ["app-shop-staging", "app-site", "factory-edge", "deploy"] {
        let attempt =
            format!("cd /; runuser -u {user} -- redis-cli -s /srv/apps/shop/data/.redis/socket ping 2>&1 || true");
        let said = journey.inside(&attempt);
        assert!(said.contains("Permission denied"), "{user}: {said}");
    }
    // It is as large as it says, and a program that it starts is none of the host's.
    assert_eq!(said(app, "config%20get%20maxmemory").lines().last(), Some("8388608"));
    assert_eq!(journey.inside("systemctl show -P MemoryMax app-shop@redis"), (24 << 20).to_string());
    // Other settings count as soon as their release serves, and no sooner.
    let most = || said(app, "config%20get%20maxmemory").lines().last().unwrap().to_owned();
    app.edit(".factory/app.conf", "redis_memory=8M", "redis_memory=9M");
    app.edit(".factory/app.conf", "health=/healthz", "health=/none\nhealth_seconds=2\nwas=/healthz");
    app.build("2.4.1");
    code(&app.install("2.4.1"), 76);
    assert_eq!(most(), "8388608");
    app.edit(".factory/app.conf", "health=/none\nhealth_seconds=2\nwas=/healthz", "health=/healthz");
    app.build("2.4.2");
    passed(&app.install("2.4.2"));
    assert_eq!((most().as_str(), said(app, "get%20mine").as_str()), ("9437184", "kept"));
    passed(&app.deploy(".factory/deploy rollback"));
    assert_eq!((most().as_str(), said(app, "get%20mine").as_str()), ("8388608", "kept"));
    app.edit(".factory/app.conf", "redis_memory=9M", "redis_memory=8M");
    // It survives its end, and a rollback to a release that asks for none.
    journey.inside("kill -9 $(systemctl show -P MainPID app-shop@redis)");
    journey.wait_until("curl -fsS 'http://127.0.0.1:8102/redis?get%20mine' | grep kept");
    passed(&app.deploy(".factory/deploy rollback"));
    journey.wait_until("! systemctl is-active --quiet app-shop@redis");
    passed(&app.install("2.4.0"));
    assert_eq!(said(app, "get%20mine"), "kept");
    code(&app.deploy(".factory/deploy status"), 0);
}
