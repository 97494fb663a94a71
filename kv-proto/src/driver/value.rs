//! What can be stored as a value.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

/// Bytes, or a text that becomes bytes: what `put`, `create` and `update` take.
pub trait IntoValue {
    /// Returns the bytes; those that are owned are not copied.
    fn into_value(self) -> Bytes;
}

macro_rules! owned {
    ($($type:ty),*) => {$(
        impl IntoValue for $type {
            fn into_value(self) -> Bytes {
                Bytes::from(self)
            }
        }
    )*};
}
owned!(Bytes, BytesMut, Vec<u8>, String);

macro_rules! borrowed {
    ($($type:ty => $bytes:expr),*) => {$(
        impl IntoValue for $type {
            fn into_value(self) -> Bytes {
                let bytes: fn(Self) -> Bytes = $bytes;
                bytes(self)
            }
        }
    )*};
}
borrowed!(
    &str => |text| Bytes::copy_from_slice(text.as_bytes()),
    &String => |text| Bytes::copy_from_slice(text.as_bytes()),
    &[u8] => Bytes::copy_from_slice,
    &Vec<u8> => |bytes| Bytes::copy_from_slice(bytes),
    &Bytes => Bytes::clone
);

impl<const N: usize> IntoValue for [u8; N] {
    fn into_value(self) -> Bytes {
        Bytes::copy_from_slice(&self)
    }
}

impl<const N: usize> IntoValue for &[u8; N] {
    fn into_value(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}
