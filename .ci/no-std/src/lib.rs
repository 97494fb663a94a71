//! Links the core without std. If anything in it pulled std in, there would be
//! two panic handlers, and this would not build.

#![no_std]
#![forbid(unsafe_code)]

use core::panic::PanicInfo;

use kv_proto::{Config, Instant, Seed, Session};

#[global_allocator]
static ALLOCATOR: emballoc::Allocator<4096> = emballoc::Allocator::new();

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Uses enough of the core that nothing of it is left out of the link.
pub extern "C" fn connects() -> bool {
    let Ok(config) = Config::new("localhost") else {
        return false;
    };
    let mut session = Session::new(Instant::ORIGIN, config, Seed::from_u64(1));
    session.handle_timeout(Instant::ORIGIN);
    session.poll_link().is_some()
}
