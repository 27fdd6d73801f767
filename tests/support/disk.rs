//! Small disks of a test's own, which fill up and fail. They are mounted, which takes root: where that is refused, tests say past
//! the capture of their output that they were not run.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A disk, until it is dropped.
pub struct Disk {
    place: TempDir,
    /// The file that holds its file system; none for one in memory.
    image: Option<PathBuf>,
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output: Output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn not_run(why: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "NOT RUN: a test that needs a disk of its own, which cannot be mounted here: {why}"
    );
}

impl Disk {
    /// A disk in memory.
    pub fn in_memory(mib: u64) -> Option<Self> {
        let disk = Self {
            place: tempfile::tempdir().expect("a directory"),
            image: None,
        };
        disk.begin(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
    }

    /// A file system in a file, as on a real disk, which the system makes read-only when it fails.
    pub fn in_a_file(mib: u64) -> Option<Self> {
        let place = tempfile::tempdir().expect("a directory");
        let image = place.path().join("image");
        File::create(&image).and_then(|file| file.set_len(mib * MIB)).expect("a file");
        let name = image.to_str().expect("UTF-8").to_owned();
        // Nothing is kept for root, who the tests run as.
        if let Err(why) = run("mkfs.ext4", &["-q", "-m", "0", &name]) {
            not_run(&why);
            return None;
        }
        let disk = Self { place, image: Some(image) };
        disk.begin(&["-o", "loop,errors=remount-ro", &name])
    }

    fn begin(self, what: &[&str]) -> Option<Self> {
        fs::create_dir(self.path()).expect("a directory");
        match self.mount(what) {
            Ok(()) => Some(self),
            Err(why) => {
                not_run(&why);
                None
            }
        }
    }

    fn mount(&self, what: &[&str]) -> Result<(), String> {
        let path = self.path();
        let path = path.to_str().expect("UTF-8");
        run("mount", &[what, &[path]].concat()).map(drop)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.place.path().join("disk")
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let path = self.path();
        let said = run("stat", &["-f", "-c", "%a %S", path.to_str().expect("UTF-8")]).expect("stat");
        let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        numbers.iter().product()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it, but for so many MiB.
    pub fn fill(&self, leave_mib: u64) {
        let mut file = File::options().create(true).append(true).open(self.filler()).expect("a file");
        let piece = vec![1; 64 << 10];
        // What another writes meanwhile fills it as well.
        while self.free() > leave_mib * MIB {
            let pieces = (self.free() - leave_mib * MIB).div_ceil(piece.len() as u64);
            for _ in 0..pieces {
                if file.write_all(&piece).is_err() {
                    return;
                }
            }
        }
    }

    /// Makes room again.
    pub fn clear(&self) {
        fs::remove_file(self.filler()).expect("removing");
    }

    /// Has its file system fail, as a broken disk would; the system makes it read-only. False where that cannot be had.
    pub fn fail(&self) -> bool {
        let path = self.path();
        let device = run("findmnt", &["-n", "-o", "SOURCE", path.to_str().expect("UTF-8")]).expect("findmnt");
        let device = device.trim().trim_start_matches("/dev/");
        let failed = fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a test");
        if let Err(why) = &failed {
            not_run(&why.to_string());
        }
        failed.is_ok()
    }

    /// Takes it away, and mounts it again so, whole. Nothing may use it.
    pub fn mount_again(&self, read_only: bool) {
        let image = self.image.as_deref().and_then(Path::to_str).expect("a file system in a file");
        self.unmount().expect("unmounting");
        // It tells by its status that it had something to mend.
        let _ = run("e2fsck", &["-fy", image]);
        let options = if read_only { "loop,ro" } else { "loop,errors=remount-ro" };
        self.mount(&["-o", options, image]).expect("mounting");
    }

    fn unmount(&self) -> Result<(), String> {
        let path = self.path();
        run("umount", &[path.to_str().expect("UTF-8")]).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also where a server of a test that failed still uses it.
        let path = self.path();
        let _ = run("umount", &["-l", path.to_str().expect("UTF-8")]);
    }
}
