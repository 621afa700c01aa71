# Prints one line per file of the root file system: everything about it that an image decides.
# Runs inside a container that has Debian's perl-base, which has neither File::Find nor xattrs.
use strict;
use warnings;
use Fcntl ':mode';

my %first;    # device and inode of files with several names: the name that was seen first
# not by device number: an overlay's files may have others than its directories
my %mounted;
open my $mounts, '<', '/proc/mounts' or die;
$mounted{ (split)[1] } = 1 while <$mounts>;
delete $mounted{'/'};

sub escape { my ($text) = @_; $text =~ s/([^!-~])/sprintf '%%%02x', ord $1/ge; return $text }

# llistxattr, lgetxattr: x86-64 system call numbers 195, 192
sub xattrs {
    my ($path) = @_;
    my $names = "\0" x 65536;
    my $size = syscall 195, $path, $names, length $names;
    return 'none' if $size <= 0;
    my @found;
    for my $name (sort split /\0/, substr $names, 0, $size) {
        my $value = "\0" x 65536;
        my $length = syscall 192, $path, $name, $value, length $value;
        push @found, "$name=" . escape(substr $value, 0, $length < 0 ? 0 : $length);
    }
    return join ',', @found;
}

sub walk {
    my ($path) = @_;
    my (undef, $inode, $mode, $links, $uid, $gid, $rdev, $size, undef, $mtime) = lstat $path
        or return print escape($path), " unreadable: $!\n";
    return if $mounted{$path};
    $mtime = 'any' if $path eq '/';    # mount points are made in it
    my @line = (escape($path), sprintf('%o', $mode), "$uid:$gid", $mtime);
    if (S_ISREG($mode)) {
        push @line, "size=$size", "links=$links";
        push @line, 'same-as=' . ($first{$inode} //= escape($path)) if $links > 1;
        open my $file, '<', $path or die "$path: $!";
        binmode $file;
        # a checksum of perl's own: 32 bits of sum, enough to see any single change
        my $sum = 0;
        while (read $file, my $block, 1 << 20) { $sum = ($sum * 31 + unpack '%64C*', $block) % 4294967291 }
        push @line, "sum=$sum";
    }
    elsif (S_ISLNK($mode)) { push @line, 'to=' . escape(readlink $path) }
    elsif (S_ISCHR($mode) || S_ISBLK($mode)) { push @line, sprintf 'dev=%d:%d', $rdev >> 8, $rdev & 255 }
    push @line, xattrs($path);
    print join(' ', @line), "\n";
    return unless S_ISDIR($mode);
    opendir my $dir, $path or die "$path: $!";
    my @names = sort grep { !/^\.\.?$/ } readdir $dir;
    walk($path eq '/' ? "/$_" : "$path/$_") for @names;
}

walk('/');

# perl starts at this line, where it would otherwise wait for the end of its standard input
__END__
