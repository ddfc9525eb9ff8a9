//! The layer between a fake loader and a fake driver.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};

use super::*;
use crate::interface::{Header, LinkInfo};

/// Target of the fake driver's dispatchable handles.
#[repr(C)]
struct Object {
    table: usize,
}

thread_local! {
    /// Extensions that the fake device has.
    static AVAILABLE: RefCell<Vec<CString>> = const { RefCell::new(vec![]) };
    /// Extensions that were requested from it.
    static REQUESTED: RefCell<Vec<CString>> = const { RefCell::new(vec![]) };
}

unsafe extern "system" fn driver_instance(
    _: *const InstanceCreateInfo,
    _: *const c_void,
    instance: *mut Handle,
) -> Result {
    let object = Box::leak(Box::new(Object { table: 0 }));
    object.table = std::ptr::from_ref(object).addr();
    // SAFETY: the test passes a pointer to a handle.
    unsafe { *instance = std::ptr::from_mut(object).cast() };
    SUCCESS
}

unsafe extern "system" fn driver_device(
    physical: Handle,
    info: *const DeviceCreateInfo,
    allocator: *const c_void,
    device: *mut Handle,
) -> Result {
    assert!(!physical.is_null());
    // SAFETY: the layer passes the test's structure with its own list.
    let requested = unsafe {
        let names =
            std::slice::from_raw_parts((*info).extension_names, (*info).extension_count as usize);
        names.iter().map(|name| CStr::from_ptr(*name).to_owned()).collect()
    };
    REQUESTED.set(requested);
    // SAFETY: as above.
    unsafe { driver_instance(std::ptr::null(), allocator, device) }
}

unsafe extern "system" fn driver_extensions(
    _: Handle,
    _: *const c_char,
    count: *mut u32,
    extensions: *mut ExtensionProperties,
) -> Result {
    AVAILABLE.with_borrow(|available| {
        // SAFETY: the layer reads the count first and then passes room for that many.
        unsafe {
            *count = available.len() as u32;
            for (index, name) in available.iter().enumerate().filter(|_| !extensions.is_null()) {
                *extensions.add(index) = ExtensionProperties::named(name);
            }
        }
    });
    SUCCESS
}

unsafe extern "system" fn driver_entry(_: Handle, name: *const c_char) -> Function {
    // SAFETY: the layer passes C strings.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"vkCreateInstance" => function(driver_instance as *const c_void),
        b"vkCreateDevice" => function(driver_device as *const c_void),
        b"vkEnumerateDeviceExtensionProperties" => function(driver_extensions as *const c_void),
        b"vkQueueSubmit" => function(driver_entry as *const c_void),
        _ => None,
    }
}

/// Creates an instance through the layer.
fn instance() -> Handle {
    let mut link = InstanceLink::last(driver_entry);
    let link = LinkInfo::new(LOADER_INSTANCE_CREATE_INFO, &raw mut link);
    let info = InstanceCreateInfo::new((&raw const link).cast::<Header>());
    let mut handle = std::ptr::null_mut();
    // SAFETY: the structures live for the call.
    let result = unsafe { create_instance(&raw const info, std::ptr::null(), &raw mut handle) };
    assert_eq!(result, SUCCESS);
    assert!(link.layer.is_null(), "the link was not advanced");
    handle
}

/// Creates a device of `instance` with the extensions `names`; returns it with the extensions that
/// the driver received.
fn device(instance: Handle, names: &[&CStr]) -> (Handle, Vec<CString>) {
    let next = std::ptr::null_mut();
    let (get_instance_proc_addr, get_device_proc_addr) = (driver_entry as _, driver_entry as _);
    let mut link = DeviceLink { next, get_instance_proc_addr, get_device_proc_addr };
    let link = LinkInfo::new(LOADER_DEVICE_CREATE_INFO, &raw mut link);
    let names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let info = DeviceCreateInfo {
        kind: 3,
        next: (&raw const link).cast::<Header>(),
        flags: 0,
        queue_count: 0,
        queues: std::ptr::null(),
        layer_count: 0,
        layer_names: std::ptr::null(),
        extension_count: names.len() as u32,
        extension_names: names.as_ptr(),
        features: std::ptr::null(),
    };
    let mut handle = std::ptr::null_mut();
    // SAFETY: the structures live for the call; a physical device shares its instance's table.
    let result =
        unsafe { create_device(instance, &raw const info, std::ptr::null(), &raw mut handle) };
    assert_eq!(result, SUCCESS);
    (handle, REQUESTED.take())
}

fn set_available(names: &[&CStr]) {
    AVAILABLE.set(names.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn an_extension_that_the_device_lacks_is_dropped() {
    set_available(&[c"VK_KHR_external_memory_fd"]);
    let (_, requested) = device(instance(), &[c"VK_KHR_external_memory_fd", OPTIONAL]);
    assert_eq!(requested, [c"VK_KHR_external_memory_fd".to_owned()]);
}

#[test]
fn an_extension_that_the_device_has_is_kept() {
    set_available(&[OPTIONAL]);
    let (_, requested) = device(instance(), &[OPTIONAL, c"VK_KHR_swapchain"]);
    assert_eq!(requested, [OPTIONAL.to_owned(), c"VK_KHR_swapchain".to_owned()]);
}

#[test]
fn no_other_extension_is_dropped_and_an_empty_list_works() {
    set_available(&[]);
    let instance = instance();
    let (_, requested) = device(instance, &[c"VK_KHR_swapchain"]);
    assert_eq!(requested, [c"VK_KHR_swapchain".to_owned()], "the driver refuses, not the layer");
    assert!(device(instance, &[]).1.is_empty());
}

#[test]
fn other_functions_come_from_the_next_layer() {
    set_available(&[]);
    let instance = instance();
    let (device, _) = device(instance, &[]);
    // SAFETY: handles and names as a program passes them.
    unsafe {
        assert!(instance_entry(instance, c"vkQueueSubmit".as_ptr()).is_some());
        assert!(device_entry(device, c"vkQueueSubmit".as_ptr()).is_some());
        assert!(device_entry(device, c"vkNoSuchThing".as_ptr()).is_none());
        assert!(instance_entry(std::ptr::null_mut(), c"vkQueueSubmit".as_ptr()).is_none());
    }
}

#[test]
fn only_a_loader_of_version_2_or_later_is_served() {
    let mut old = Negotiation::new(1);
    let mut new = Negotiation::new(2);
    // SAFETY: null and structures that live for the call.
    unsafe {
        let negotiate = vkNegotiateLoaderLayerInterfaceVersion;
        assert_eq!(negotiate(std::ptr::null_mut()), ERROR_INITIALIZATION_FAILED);
        assert_eq!(negotiate(&raw mut old), ERROR_INITIALIZATION_FAILED);
        assert_eq!(negotiate(&raw mut new), SUCCESS);
    }
    assert!(new.get_instance_proc_addr.is_some() && new.get_device_proc_addr.is_some());
}
