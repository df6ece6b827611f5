//! What extensions stand for, and which of them are dangerous.

use super::{Danger, OCTETS, Sort};

/// Extension, sort, the type it is served as.
pub(super) type Row = (&'static str, Sort, &'static str);

/// What extensions stand for.
pub(super) const KNOWN: &[Row] = &[
    ("pdf", Sort::Pdf, "application/pdf"),
    ("png", Sort::Image, "image/png"),
    ("jpg", Sort::Image, "image/jpeg"),
    ("jpeg", Sort::Image, "image/jpeg"),
    ("gif", Sort::Image, "image/gif"),
    ("webp", Sort::Image, "image/webp"),
    ("heic", Sort::Image, "image/heic"),
    ("heif", Sort::Image, "image/heif"),
    ("avif", Sort::Image, "image/avif"),
    ("tif", Sort::Image, "image/tiff"),
    ("tiff", Sort::Image, "image/tiff"),
    ("bmp", Sort::Image, "image/bmp"),
    ("dcm", Sort::Image, "application/dicom"),
    ("txt", Sort::Text, "text/plain"),
    ("log", Sort::Text, "text/plain"),
    ("md", Sort::Text, "text/plain"),
    ("csv", Sort::Sheet, "text/csv"),
    ("tsv", Sort::Sheet, "text/tab-separated-values"),
    ("rtf", Sort::Document, "application/rtf"),
    ("doc", Sort::Document, "application/msword"),
    (
        "docx",
        Sort::Document,
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (
        "odt",
        Sort::Document,
        "application/vnd.oasis.opendocument.text",
    ),
    ("pages", Sort::Document, "application/vnd.apple.pages"),
    ("xls", Sort::Sheet, "application/vnd.ms-excel"),
    (
        "xlsx",
        Sort::Sheet,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    (
        "ods",
        Sort::Sheet,
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    ("numbers", Sort::Sheet, "application/vnd.apple.numbers"),
    ("ppt", Sort::Slides, "application/vnd.ms-powerpoint"),
    (
        "pptx",
        Sort::Slides,
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    (
        "odp",
        Sort::Slides,
        "application/vnd.oasis.opendocument.presentation",
    ),
    ("key", Sort::Slides, "application/vnd.apple.keynote"),
    ("zip", Sort::Archive, "application/zip"),
    ("rar", Sort::Archive, OCTETS),
    ("7z", Sort::Archive, OCTETS),
    ("gz", Sort::Archive, OCTETS),
    ("tgz", Sort::Archive, OCTETS),
    ("bz2", Sort::Archive, OCTETS),
    ("xz", Sort::Archive, OCTETS),
    ("zst", Sort::Archive, OCTETS),
    ("tar", Sort::Archive, OCTETS),
    ("lzh", Sort::Archive, OCTETS),
    ("arj", Sort::Archive, OCTETS),
    ("ace", Sort::Archive, OCTETS),
    ("cab", Sort::Archive, OCTETS),
    ("mp3", Sort::Audio, "audio/mpeg"),
    ("m4a", Sort::Audio, "audio/mp4"),
    ("wav", Sort::Audio, "audio/wav"),
    ("ogg", Sort::Audio, "audio/ogg"),
    ("opus", Sort::Audio, "audio/ogg"),
    ("flac", Sort::Audio, "audio/flac"),
    ("amr", Sort::Audio, "audio/amr"),
    ("mp4", Sort::Video, "video/mp4"),
    ("m4v", Sort::Video, "video/mp4"),
    ("mov", Sort::Video, "video/quicktime"),
    ("webm", Sort::Video, "video/webm"),
    ("avi", Sort::Video, OCTETS),
    ("mkv", Sort::Video, OCTETS),
    ("3gp", Sort::Video, "video/3gpp"),
    ("eml", Sort::Message, OCTETS),
    ("msg", Sort::Message, OCTETS),
    ("mbox", Sort::Message, OCTETS),
    ("ics", Sort::Calendar, "text/calendar"),
    ("vcf", Sort::Contact, "text/vcard"),
    ("p7s", Sort::Security, "application/pkcs7-signature"),
    ("p7m", Sort::Security, "application/pkcs7-mime"),
    ("p7c", Sort::Security, OCTETS),
    ("asc", Sort::Security, OCTETS),
    ("pgp", Sort::Security, OCTETS),
    ("gpg", Sort::Security, OCTETS),
    ("sig", Sort::Security, OCTETS),
    ("cer", Sort::Security, OCTETS),
    ("crt", Sort::Security, OCTETS),
    ("xml", Sort::Markup, OCTETS),
    ("json", Sort::Text, "text/plain"),
];

/// Extensions of what is dangerous. Whoever opens one runs it, or lets something be run.
pub(super) const DANGEROUS: &[(Danger, &str)] = &[
    (
        Danger::Program,
        "exe com scr pif cpl dll ocx sys drv msi msp mst msix msixbundle appx appxbundle \
         appinstaller application gadget jar war class apk aab xapk ipa app pkg mpkg deb \
         rpm snap flatpak flatpakref appimage run bin elf so dylib ko dex wasm xll wll \
         pyd pyc pyz pyzw whl air swf xbap vsix crx xpi oxt hlp chm ax efi",
    ),
    (
        Danger::Script,
        "bat cmd ps1 ps1xml ps2 ps2xml psc1 psc2 psd1 psm1 pssc cdxml vb vbe vbs vbscript \
         js jse mjs cjs jsx ts ws wsf wsh wsc sct hta sh bash zsh csh ksh fish tcsh \
         command tool py pyw pl pm rb php php3 php4 php5 php7 phps pht phtml phar asp \
         aspx ashx asmx jsp jspx cgi lua tcl awk scpt scptd applescript osa workflow \
         action ahk au3 kix gs groovy jnlp inf inx isu job ins isp mcf paf u3p udl rgs \
         shb shs ade adp mda mdb mde mdt mdw mdz accda accdb accde accdr maf mam maq mar \
         mas mat mau mav maw bas fxp prg pst plg csproj vbproj sln",
    ),
    (
        Danger::Markup,
        "htm html shtml shtm xhtml xht xhtm mht mhtml svg svgz xsl xslt xspf xaml htc htt \
         hta webarchive mathml mml rdf rss atom wml swf vml dtd xul maff",
    ),
    (
        Danger::Macro,
        "docm dotm xlsm xltm xlam xlsb xla xlm xlw pptm potm ppam ppsm sldm ppa wiz wbk \
         slk iqy oqy rqy dqy one onetoc2 onepkg pub odm otm",
    ),
    (
        Danger::Shortcut,
        "lnk url webloc inetloc fileloc website desktop directory scf reg search-ms \
         searchconnector-ms library-ms settingcontent-ms appref-ms theme themepack \
         deskthemepack msc rdp ica mobileconfig mobileprovision provisionprofile diagcab \
         diagcfg diagpkg contact group grp cnt wcx terminal service timer prf xnk mad mag \
         maq vcd vxd ovpn pcd ops oft",
    ),
    (
        Danger::Disk,
        "iso img vhd vhdx vmdk vdi qcow qcow2 dmg toast udf nrg cdr sparseimage \
         sparsebundle wim esd ova ovf",
    ),
];
