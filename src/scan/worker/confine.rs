//! Makes this process one that can read and write what is open, use memory, and end: nothing else.
//!
//! In this order: no core dump and no tracing, no other user's rights, no capabilities, limits on
//! memory, time, files and processes, and a seccomp filter (seccomp(2)) under which any other
//! system call ends the process. For a process with a single thread, before it reads a document.

use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

/// Calls that need no look at their arguments.
const ALLOWED: [libc::c_long; 22] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
];

/// Confines this process to `memory` octets and `seconds` of processor time. After an error it is
/// confined in part, and must not go on.
pub fn confine(memory: u64, seconds: u64) -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    become_nobody()?;
    drop_capabilities()?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nproc, 0)?;
    limit(Resource::Nofile, 0)?;
    limit(Resource::Data, memory)?;
    limit(Resource::Cpu, seconds)?;
    rustix::thread::set_no_new_privs(true)?;
    seccompiler::apply_filter(&filter()?).map_err(io::Error::other)
}

/// Gives up root. A root without the right to change its user, as in some containers, stays: it
/// has no capabilities either, and the filter leaves no call that asks for a user.
fn become_nobody() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let gid = rustix::process::Gid::from_raw(NOBODY);
    let uid = rustix::process::Uid::from_raw(NOBODY);
    let became = rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_res_gid(gid, gid, gid))
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid));
    match became {
        Ok(()) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    match rustix::thread::set_capabilities(None, none) {
        Ok(()) => Ok(()),
        // A filter around us may forbid the call: then there must be nothing to give up.
        Err(error) => match rustix::thread::capabilities(None) {
            Ok(has) if has.permitted.is_empty() => Ok(()),
            _ => Err(error.into()),
        },
    }
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let new = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    match rustix::process::setrlimit(resource, new) {
        Ok(()) => Ok(()),
        // A hard limit that is lower already will do.
        Err(error) => {
            let old = rustix::process::getrlimit(resource);
            if old.maximum.is_some_and(|hard| hard <= value) {
                Ok(())
            } else {
                Err(error.into())
            }
        }
    }
}

/// The filter: [`ALLOWED`], four calls with some arguments, and nothing else.
fn filter() -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in ALLOWED {
        rules.insert(call, Vec::new());
    }
    // Memory is never executable.
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let never = only(2, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.insert(call, vec![never]);
    }
    // The allocator names its memory; other uses of this call are none of the worker's.
    let name = u64::from(libc::PR_SET_VMA.unsigned_abs());
    rules.insert(libc::SYS_prctl, vec![only(0, SeccompCmpOp::Eq, name)?]);
    // Debug builds ask whether a descriptor is open before they close it.
    let ask = u64::from(libc::F_GETFD.unsigned_abs());
    rules.insert(libc::SYS_fcntl, vec![only(1, SeccompCmpOp::Eq, ask)?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        arch,
    )
    .map_err(io::Error::other)?;
    filter.try_into().map_err(io::Error::other)
}

/// A rule on the argument at `place`.
fn only(place: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    SeccompCondition::new(place, SeccompCmpArgLen::Dword, operator, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)
}
