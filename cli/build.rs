//! Which commit this build is of: `TALLYPORT_COMMIT`, else what git says of the checkout, else `unknown`. A source
//! archive has no git, and a build must not fail for that.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a release script or an image build says, where there is no checkout.
const VARIABLE: &str = "TALLYPORT_COMMIT";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let given = std::env::var(VARIABLE).ok().filter(|commit| is_plain(commit));
    let commit = given.or_else(from_git).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=TALLYPORT_BUILD_COMMIT={commit}");
}

/// It is printed as it is: one word.
fn is_plain(commit: &str) -> bool {
    !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric() || "-._+".contains(c))
}

fn from_git() -> Option<String> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent()?.canonicalize().ok()?;
    // A source archive that lies within somebody else's checkout is not of that checkout's commit.
    let top = PathBuf::from(git(&root, &["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if top != root {
        return None;
    }
    watch(&root);
    git(&root, &["rev-parse", "--short=12", "HEAD"]).filter(|commit| is_plain(commit))
}

/// Built anew when HEAD moves. The log of HEAD grows with every commit and checkout; where it is not kept, the branch's
/// own file changes. A file that is not there is not named: cargo would run this at every build.
fn watch(root: &Path) {
    let branch = git(root, &["symbolic-ref", "-q", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    for name in names {
        let Some(path) = git(root, &["rev-parse", "--git-path", name]) else { continue };
        let path = root.join(path);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
