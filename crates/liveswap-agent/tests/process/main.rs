//! The agent in a real process: a C program that is made like those of the link stage, patches made by
//! hand, and the test at the other end of the socket.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod apply;
mod harness;
mod process;
mod refuse;
mod threads;
