//! Which of the user's images belongs to which camera.

use std::path::{Path, PathBuf};

use anyhow::Result;
use udvla_sims::observation::{Camera, Image};

use crate::exit::Refused;
use crate::images;

/// Reads `CAMERA=FILE`.
///
/// # Errors
/// When a part is missing.
pub fn camera_and_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((camera, file)) if !camera.is_empty() && !file.is_empty() => {
            Ok((camera.to_owned(), file.into()))
        }
        _ => Err("expected CAMERA=FILE, for example static=now.png".into()),
    }
}

/// The images of `cameras` in their order and sizes, from files that name their camera.
///
/// # Errors
/// [`Refused`] when a camera is missing, named twice or unknown, or a file is no image.
pub fn named(cameras: &[Camera], files: &[(String, PathBuf)]) -> Result<Vec<Image>> {
    for (index, (name, _)) in files.iter().enumerate() {
        let fault = if !cameras.iter().any(|camera| camera.name == *name) {
            format!("there is no camera `{name}`")
        } else if files[..index].iter().any(|(other, _)| other == name) {
            format!("camera `{name}` has two images")
        } else {
            continue;
        };
        return Err(Refused::new(fault).hint(usage(cameras)).into());
    }
    let image = |camera: &Camera| {
        let file = files.iter().find(|(name, _)| *name == camera.name).ok_or_else(|| {
            Refused::new(format!("camera `{}` has no image", camera.name)).hint(usage(cameras))
        })?;
        Ok(scaled(&images::read(&file.1)?, camera))
    };
    cameras.iter().map(image).collect()
}

/// The images of `cameras` in their sizes, from files in the cameras' order.
///
/// # Errors
/// [`Refused`] when there are more or fewer files than cameras, a file is no image, or the sizes
/// are those of another order.
pub fn in_order(cameras: &[Camera], files: &[PathBuf]) -> Result<Vec<Image>> {
    if files.len() != cameras.len() {
        let names: Vec<_> = cameras.iter().map(|camera| format!("`{}`", camera.name)).collect();
        let (names, given) = (names.join(", "), files.len());
        let text = format!("images of {names} are needed (in this order), {given} given");
        return Err(Refused::new(text).hint(usage(cameras)).into());
    }
    let images: Vec<Image> = files.iter().map(|file| images::read(file)).collect::<Result<_>>()?;
    let fits = |image: &Image, camera: &Camera| {
        (image.height, image.width) == (camera.height, camera.width)
    };
    for ((image, camera), file) in images.iter().zip(cameras).zip(files) {
        let other = cameras.iter().find(|other| fits(image, other));
        if let Some(other) = other.filter(|_| !fits(image, camera)) {
            return Err(swapped(file, (camera, other)).hint(usage(cameras)).into());
        }
    }
    Ok(images.iter().zip(cameras).map(|(image, camera)| scaled(image, camera)).collect())
}

fn swapped(file: &Path, (camera, other): (&Camera, &Camera)) -> Refused {
    Refused::new(format!(
        "`{}` stands in the place of camera `{}` ({} x {}) and has the size of `{}` ({} x {})",
        file.display(),
        camera.name,
        camera.width,
        camera.height,
        other.name,
        other.width,
        other.height,
    ))
}

/// How the images are named.
fn usage(cameras: &[Camera]) -> String {
    let flags: Vec<_> =
        cameras.iter().map(|camera| format!("--image {}=FILE", camera.name)).collect();
    format!("name the cameras: {}", flags.join(" "))
}

fn scaled(image: &Image, camera: &Camera) -> Image {
    images::resize(image, [camera.height, camera.width])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(name: &str, height: u32, width: u32) -> Camera {
        Camera { name: name.into(), height, width }
    }

    /// A file of one color.
    fn file(folder: &Path, name: &str, [height, width]: [u32; 2], byte: u8) -> PathBuf {
        let path = folder.join(name);
        let rgb = vec![byte; (3 * height * width) as usize];
        images::write(&path, &Image { height, width, rgb }).unwrap();
        path
    }

    fn refused<T: std::fmt::Debug>(result: Result<T>) -> (String, String) {
        let error = result.unwrap_err();
        let hint = error.downcast_ref::<Refused>().unwrap().next_step().unwrap().to_owned();
        (error.to_string(), hint)
    }

    #[test]
    fn images_go_to_the_cameras_that_they_name() {
        let folder = tempfile::tempdir().unwrap();
        let cameras = [camera("static", 20, 20), camera("gripper", 8, 8)];
        let a = file(folder.path(), "a.png", [40, 40], 1);
        let b = file(folder.path(), "b.png", [8, 8], 2);
        let given = [("gripper".to_owned(), b.clone()), ("static".to_owned(), a.clone())];
        let images = named(&cameras, &given).unwrap();
        assert_eq!((images[0].height, images[0].rgb[0]), (20, 1));
        assert_eq!((images[1].height, images[1].rgb[0]), (8, 2));
        let usage = "name the cameras: --image static=FILE --image gripper=FILE";
        let unknown = named(&cameras, &[("wrist".into(), a.clone())]);
        assert_eq!(refused(unknown), ("there is no camera `wrist`".into(), usage.into()));
        let missing = named(&cameras, &given[..1]);
        assert_eq!(refused(missing).0, "camera `static` has no image");
        let twice = [("static".to_owned(), a.clone()), ("static".to_owned(), b)];
        assert_eq!(refused(named(&cameras, &twice)).0, "camera `static` has two images");
    }

    #[test]
    fn an_order_that_does_not_fit_the_sizes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cameras = [camera("static", 20, 20), camera("gripper", 8, 8)];
        let large = file(folder.path(), "large.png", [20, 20], 1);
        let small = file(folder.path(), "small.png", [8, 8], 2);
        let other = file(folder.path(), "other.png", [30, 40], 3);
        let right = in_order(&cameras, &[large.clone(), small.clone()]).unwrap();
        assert_eq!((right[0].rgb[0], right[1].rgb[0]), (1, 2));
        // A size of neither camera says nothing about the order.
        assert!(in_order(&cameras, &[other.clone(), small.clone()]).is_ok());
        let (text, hint) = refused(in_order(&cameras, &[small.clone(), large]));
        assert!(text.contains("small.png` stands in the place of camera `static`"), "{text}");
        assert!(hint.contains("--image static=FILE"), "{hint}");
        assert!(refused(in_order(&cameras, &[small])).0.ends_with("1 given"));
    }

    #[test]
    fn a_camera_and_its_file_are_read() {
        assert_eq!(camera_and_file("static=a=b.png"), Ok(("static".into(), "a=b.png".into())));
        for text in ["a.png", "=a.png", "static="] {
            assert!(camera_and_file(text).unwrap_err().contains("CAMERA=FILE"), "{text}");
        }
    }
}
