//! The watermark, on a small volume of its own: no new work on a full disk, said with figures; what
//! may go is freed; work goes on by itself when there is space again. Needs to be root, to mount it.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::harness::{Ended, Home, Mcp, Repo, eventually, secs};

/// A volume in memory; gone with its owner.
struct Volume(PathBuf);

impl Volume {
    fn mount(at: PathBuf, mebibytes: u32) -> Self {
        fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        let size = format!("size={mebibytes}m,mode=700");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at);
        Ended::of(mount, secs(10)).ok();
        Self(at)
    }

    /// Takes so many MiB of it.
    fn fill(&self, mebibytes: usize) -> PathBuf {
        let ballast = self.0.join("ballast");
        fs::write(&ballast, vec![0; mebibytes << 20]).unwrap();
        ballast
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        unmount.arg("-l").arg(&self.0);
        drop(Ended::of(unmount, secs(10)));
    }
}

/// Starts a run and waits until it has ended and its log, of so many bytes, is delivered.
fn delivered(mcp: &Mcp, automation: &Value, bytes: u64) -> Value {
    let run = mcp.start(automation);
    eventually("the run is over and delivered", secs(60), || {
        let listed = mcp.ok(
            "automations_logs",
            json!({"automationId": automation, "limit": 1}),
        );
        let found = &listed["runs"][0];
        let whole = found["logBytes"].as_u64()? >= bytes;
        let over = found["runId"] == run && found["finishedAt"].is_string();
        assert!(!over || found["state"] == "succeeded", "{found}");
        (over && whole).then(|| found.clone())
    })
}

#[test]
fn a_full_disk_stops_new_work_says_so_and_lets_it_go_on_by_itself() {
    let home = Home::new();
    let volume = Volume::mount(home.hostler_home(), 64);
    let service = home.up();
    let mcp = service.mcp();
    let repo = Repo::new(&home, "shop", 3);
    let project = mcp.import(&repo);
    let (_, kept) = mcp.workspace(&project, "mine");
    fs::write(kept.join("unsaved"), "work").unwrap();
    let loud = mcp.automation(&json!({"prompt": "head -c 6000000 /dev/zero | tr '\\0' x"}));
    let earlier = delivered(&mcp, &loud, 6_000_000);
    let spool = format!("host/runs/{}", earlier["runId"].as_str().unwrap());
    let spool = home.hostler_home().join(spool);
    assert!(spool.join("output.log").exists());
    let warnings = || mcp.host()["warnings"].as_array().unwrap().clone();
    assert_eq!(warnings(), Vec::<Value>::new());

    // The delivered log is given up, which is not enough.
    let facts = rustix::fs::statvfs(home.hostler_home()).unwrap();
    let free = usize::try_from((facts.f_bavail * facts.f_frsize) >> 20).unwrap();
    let ballast = volume.fill(free - 4);
    let warning = eventually("the host says that it is low", secs(40), || {
        warnings().first()?.as_str().map(str::to_owned)
    });
    for word in [
        "low on disk space",
        "% full",
        "MiB of 64 MiB free",
        "the limit is 80 %",
        "host.toml",
    ] {
        assert!(warning.contains(word), "{warning}");
    }
    let status = home.run(&["status"]).ok();
    assert!(status.contains("low on disk space"), "{status}");
    let run = mcp.start(&loud);
    let made = json!({"hostId": mcp.host()["id"], "projectId": project, "name": "no room"});
    let refused = mcp.call("workspaces_create", made.clone()).unwrap_err();
    let refused = format!("{refused:?}");
    assert!(
        refused.contains("low on disk space") && refused.contains("precondition_failed"),
        "{refused}"
    );
    eventually("the delivered log is given up", secs(40), || {
        (!spool.exists()).then_some(())
    });
    let skipped = eventually("the run is recorded as skipped", secs(60), || {
        let found = mcp.log(&loud, &run)?["run"].clone();
        (found["state"] == "skipped").then_some(found)
    });
    assert!(
        skipped["reason"].as_str().unwrap().starts_with("disk_full"),
        "{skipped}"
    );
    assert!(kept.join("unsaved").exists());

    fs::remove_file(ballast).unwrap();
    eventually("the host takes work again", secs(40), || {
        warnings().is_empty().then_some(())
    });
    assert_eq!(delivered(&mcp, &loud, 6_000_000)["state"], "succeeded");
    mcp.ok("workspaces_create", made);
}

#[test]
fn what_may_go_is_freed_before_anything_is_refused() {
    let home = Home::new();
    // Room for the log twice, and for what the catalog writes beside it on the way.
    let size = 192;
    let volume = Volume::mount(home.hostler_home(), size);
    let service = home.up();
    let mcp = service.mcp();
    let loud = mcp.automation(&json!({"prompt": "head -c 12000000 /dev/urandom | base64"}));
    // 16,000,000 letters, and the end of each line of 76.
    delivered(&mcp, &loud, 16_210_527);
    // Fuller than allowed with the delivered log, and not without it.
    let used = || {
        let facts = rustix::fs::statvfs(home.hostler_home()).unwrap();
        ((facts.f_blocks - facts.f_bfree) * facts.f_frsize) >> 20
    };
    let wanted = u64::from(size) * 80 / 100 + 4;
    volume.fill(usize::try_from(wanted - used()).unwrap());
    let quiet = mcp.automation(&json!({"prompt": "echo made it"}));
    let run = eventually("a run starts", secs(60), || {
        let run = mcp.run_to_end(&quiet);
        (run["state"] == "succeeded").then_some(run)
    });
    assert!(run["logTail"].as_str().unwrap().contains("made it"));
}
