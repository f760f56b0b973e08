//! The system's time zones are updated under a running daemon: it notices by itself, plans the future
//! anew, and says so where a zone is gone, until it is back.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Home, Mcp, eventually, secs, yearly};

const SYSTEM: &str = "/usr/share/zoneinfo";
const ZONE: &str = "Europe/Kyiv";

#[test]
fn an_update_of_the_time_zones_is_noticed_while_running() {
    let (home, far) = (Home::new(), Home::new());
    let zones = far.path("zoneinfo");
    fs::create_dir_all(zones.join("Europe")).unwrap();
    put(&zones, ZONE, ZONE);
    put(&zones, "UTC", "UTC");
    fs::write(zones.join("tzdata.zi"), "# version 2099a\n").unwrap();
    let server = home.server();
    far.join_only(&home, "far");
    let _daemon = far.daemon_with(&[("TZDIR", zones.to_str().unwrap())]);
    server.wait_host_online(1);
    let mcp = server.mcp();
    let noon = json!({"rrule": "FREQ=DAILY;BYHOUR=12;BYMINUTE=0;BYSECOND=0", "timezone": ZONE});
    let id = mcp.ok("automations_create", yearly(&noon))["automation"]["id"].clone();
    // A run by hand has come back, so the host has the automation.
    mcp.run_to_end(&id);
    let here = shown(&mcp, &id)["nextRunAt"].clone();

    // The zone has other offsets from now on.
    put(&zones, "Asia/Tokyo", ZONE);
    let moved = eventually("the future is planned anew", secs(40), || {
        let next = shown(&mcp, &id)["nextRunAt"].clone();
        (next != here).then_some(next)
    });
    assert!(
        moved.as_str().unwrap().ends_with("T03:00:00Z"),
        "noon in Tokyo: {moved}"
    );

    // The zone was removed.
    fs::remove_file(zones.join(ZONE)).unwrap();
    let reason = eventually("the automation says so", secs(40), || {
        shown(&mcp, &id)["pausedReason"].as_str().map(str::to_owned)
    });
    for part in [
        "its host cannot plan it",
        ZONE,
        "Update the time zones (tzdata)",
        "automations_update",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let listed = home.run(&["automations", "list"]).ok();
    assert!(listed.contains("its host cannot plan it"), "{listed}");
    assert_eq!(
        mcp.run_to_end(&id)["state"],
        "succeeded",
        "by hand it still runs"
    );

    // It is back, with an update.
    put(&zones, ZONE, ZONE);
    eventually("it goes on", secs(40), || {
        let now = shown(&mcp, &id);
        (now["pausedReason"].is_null() && now["nextRunAt"] == here).then_some(())
    });
    let told = mcp.ok("automations_logs", json!({"automationId": id}))["changes"].clone();
    let kinds: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|change| &change["kind"])
        .collect();
    assert_eq!(kinds, ["planned", "stopped", "created"], "{told}");
}

fn shown(mcp: &Mcp, id: &Value) -> Value {
    mcp.ok("automations_get", json!({"id": id}))["automation"].clone()
}

/// Puts one of the system's zones in place of another, as a package does: by a rename.
fn put(zones: &Path, from: &str, to: &str) {
    let fresh = zones.join("fresh");
    fs::copy(Path::new(SYSTEM).join(from), &fresh).unwrap();
    fs::rename(&fresh, zones.join(to)).unwrap();
}
