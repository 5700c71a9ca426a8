//! How many files and connections may this process have open?

use std::io;

/// Raises the process's limit of open files as far as the system lets it, and returns the limit then in force.
#[expect(unsafe_code, reason = "getrlimit and setrlimit have no safe wrapper in std")]
pub fn raise_open_file_limit() -> io::Result<u64> {
    // SAFETY: rlimit is two integers, for which all-zero is a value; the pointers are to a local that outlives both
    // calls and is valid for writing (getrlimit) and reading (setrlimit).
    let limit = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        let soft = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        // Some systems refuse a limit as high as the one they name; the old one stays in force then.
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
            limit.rlim_cur = soft;
        }
        limit.rlim_cur
    };
    #[expect(clippy::allow_attributes, reason = "the type's width differs between platforms")]
    #[allow(clippy::unnecessary_cast)]
    Ok(limit as u64)
}
