//! What is written into worktrees, compared with what git itself writes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::tests::Bench;
use crate::git::fixture::{self, Sample};

#[test]
fn files_are_what_git_would_write() {
    for attributes in [
        "",
        "*.id text ident\n",
        "*.u16 text working-tree-encoding=UTF-16LE eol=lf\n",
    ] {
        for autocrlf in ["false", "true", "input"] {
            same_files(&rich_sample(attributes, autocrlf));
        }
    }
}

fn same_files(sample: &Sample) {
    let ours = compare(sample);
    assert!(String::from_utf8_lossy(&ours["crlf.bat"].1).contains("\r\n"));
    assert!(String::from_utf8_lossy(&ours["shout.up"].1).contains("LOUD"));
}

/// Checks that a worktree is what git makes of it, and gives its content.
fn compare(sample: &Sample) -> BTreeMap<String, (u32, Vec<u8>)> {
    let bench = Bench::new();
    let theirs = sample.dir().join("theirs");
    fixture::run(
        sample.root(),
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "theirs",
            theirs.to_str().unwrap(),
        ],
    );
    let plan = bench.new_branch(sample, "ours");
    bench.create(&sample.repo(), &plan).unwrap();
    let (ours, expected) = (tree(&plan.path), tree(&theirs));
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (path, content) in &expected {
        assert_eq!(ours.get(path), Some(content), "{path}");
    }
    assert_eq!(fixture::run(&plan.path, &["status", "--porcelain"]), "");
    let index = |path: &Path| fixture::run(path, &["ls-files", "--stage"]);
    assert_eq!(index(&plan.path), index(&theirs));
    ours
}

/// Without anything to convert another writer is used.
#[test]
fn plain_files_are_what_git_would_write() {
    let sample = Sample::new();
    let root = sample.root();
    for number in 0..300 {
        let folder = root.join(format!("pkg{}/mod{}", number % 7, number % 3));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.txt")), "x\r\n".repeat(number)).unwrap();
    }
    fs::write(root.join(".gitattributes"), "* text=auto\n*.sh eol=lf\n").unwrap();
    fs::write(root.join("odd \u{fc} name"), "").unwrap();
    fs::set_permissions(root.join("src/main.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.join("only")).unwrap();
    symlink("../src/main.sh", root.join("only/link")).unwrap();
    symlink("pkg1", root.join("folder")).unwrap();
    fixture::run(root, &["add", "-A"]);
    let head = fixture::run(root, &["rev-parse", "HEAD"]);
    let module = format!("160000,{head},modules/lib");
    fixture::run(root, &["update-index", "--add", "--cacheinfo", &module]);
    fixture::run(root, &["commit", "-q", "-m", "plain"]);
    compare(&sample);
}

#[test]
fn no_entry_of_a_fresh_index_needs_a_second_look() {
    let sample = Sample::new();
    let bench = Bench::new();
    let plan = bench.new_branch(&sample, "fresh");
    bench.create(&sample.repo(), &plan).unwrap();
    let index = fixture::run(&plan.path, &["rev-parse", "--git-path", "index"]);
    let written = fs::metadata(plan.path.join(index)).unwrap().mtime();
    for name in ["README.md", "src/deep/a.txt", "src/main.sh"] {
        let meta = fs::symlink_metadata(plan.path.join(name)).unwrap();
        assert!(meta.mtime() < written, "{name}");
    }
    // What is changed at once, without a change of size, is seen all the same.
    fs::write(plan.path.join("README.md"), "# simple\n").unwrap();
    let status = fixture::run(&plan.path, &["status", "--porcelain"]);
    assert_eq!(status.trim(), "M README.md");
}

#[test]
fn a_long_running_filter_is_spoken_to_as_git_does() {
    let sample = Sample::new();
    let (root, filter) = (sample.root(), sample.dir().join("filter.py"));
    fs::write(&filter, include_str!("swapcase_filter.py")).unwrap();
    fixture::run(
        root,
        &[
            "config",
            "filter.swap.process",
            &format!("python3 {}", filter.display()),
        ],
    );
    fixture::run(root, &["config", "filter.swap.required", "true"]);
    fs::write(root.join(".gitattributes"), "*.swap filter=swap\n").unwrap();
    for number in 0..300 {
        fs::write(
            root.join(format!("{number}.swap")),
            format!("Hello {number}\n"),
        )
        .unwrap();
    }
    fixture::run(root, &["add", "-A"]);
    fixture::run(root, &["commit", "-q", "-m", "swapped"]);
    assert_eq!(fixture::run(root, &["show", "HEAD:7.swap"]), "hELLO 7");
    let bench = Bench::new();
    let plan = bench.new_branch(&sample, "swap");
    bench.create(&sample.repo(), &plan).unwrap();
    assert_eq!(
        fs::read_to_string(plan.path.join("299.swap")).unwrap(),
        "Hello 299\n"
    );
    assert_eq!(fixture::run(&plan.path, &["status", "--porcelain"]), "");
}

/// Attributes, line endings, encodings, ident, filters, modes, links, odd names, a submodule.
fn rich_sample(more: &str, autocrlf: &str) -> Sample {
    let sample = Sample::new();
    let root = sample.root();
    fixture::run(root, &["config", "filter.loud.clean", "tr A-Z a-z"]);
    fixture::run(root, &["config", "filter.loud.smudge", "tr a-z A-Z"]);
    fixture::run(root, &["config", "core.autocrlf", autocrlf]);
    let attributes = format!(
        "*.bat text eol=crlf\n*.txt text\n*.bin -text\n*.up filter=loud\n*.old -crlf\nvendor/** -text\n{more}"
    );
    let files: [(&str, &[u8]); 14] = [
        (".gitattributes", attributes.as_bytes()),
        ("crlf.bat", b"one\ntwo\n"),
        ("a.id", b"$Id$\n"),
        ("plain", b"one\ntwo\n"),
        ("lines.txt", b"one\ntwo\n"),
        ("legacy.old", b"one\ntwo\n"),
        ("raw.bin", b"\0\r\n\n\r"),
        ("shout.up", b"loud\n"),
        ("wide.u16", b"w\0i\0d\0e\0\n\0"),
        ("vendor/keep.txt", b"a\r\nb\n"),
        ("deep/.gitattributes", b"*.bat -text\n"),
        ("deep/er/kept.bat", b"a\nb\n"),
        ("odd ü name.txt", b"x\n"),
        ("run.sh", b"#!/bin/sh\n"),
    ];
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", root.join("link")).unwrap();
    symlink("nowhere/at all", root.join("deep/dangling")).unwrap();
    fixture::run(root, &["add", "-A"]);
    let head = fixture::run(root, &["rev-parse", "HEAD"]);
    fixture::run(
        root,
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{head},modules/lib"),
        ],
    );
    fixture::run(root, &["commit", "-q", "-m", "rich"]);
    sample
}

/// Every path with its mode and content; a link's content is its target.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if name == ".git" {
                continue;
            }
            let content = if meta.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if meta.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            found.insert(name, (meta.permissions().mode(), content));
        }
    }
    found
}
