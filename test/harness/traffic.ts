/** Programs for pods that show what their network carries: for the Perl of Debian's minimal system. */

/** Sends back what it gets, over TCP and UDP, IPv4 and IPv6, on port 7; says `ready` first. */
export const echoServer = String.raw`
use IO::Socket::IP; use IO::Select;
$SIG{TERM} = sub { exit 0 };
my %local = (LocalHost => '::', LocalPort => 7, V6Only => 0);
my $tcp = IO::Socket::IP->new(%local, Type => SOCK_STREAM, Listen => 9) or die $@;
my $udp = IO::Socket::IP->new(%local, Type => SOCK_DGRAM) or die $@;
syswrite STDOUT, "ready\n";
my $both = IO::Select->new($tcp, $udp);
while (1) {
  for ($both->can_read) {
    if ($_ == $udp) {
      my $from = $udp->recv(my $data, 65535);
      $udp->send($data, 0, $from);
    } else {
      my $peer = $tcp->accept or next;
      local $/;
      my $data = <$peer>;
      print $peer $data;
      close $peer;
    }
  }
}`;

/**
 * Talks to echo servers, each `HOST PORT` in the arguments: a megabyte over TCP, then a datagram
 * that no packet holds. One line for each: `HOST tcp same udp same`.
 */
export const echoClient = String.raw`
use IO::Socket::IP; use IO::Select;
$SIG{ALRM} = sub { die "no answer\n" };
my $much = join '', map { pack 'N', $_ * 2654435761 & 0xffffffff } 1 .. 250_000;
my $large = substr $much, 0, 20_000;
sub tcp {
  my $peer = IO::Socket::IP->new(@_, Type => SOCK_STREAM, Timeout => 10) or die "$@\n";
  print $peer $much;
  shutdown $peer, 1;
  local $/;
  my $back = <$peer>;
  return $back eq $much ? 'same' : length($back) . ' bytes';
}
sub udp {
  my $peer = IO::Socket::IP->new(@_, Type => SOCK_DGRAM) or die "$@\n";
  for (1 .. 4) {
    $peer->send($large);
    next unless IO::Select->new($peer)->can_read(3);
    $peer->recv(my $back, 65535) // die "$!\n";
    return $back eq $large ? 'same' : length($back) . ' bytes';
  }
  die "no answer\n";
}
while (my ($host, $port) = splice @ARGV, 0, 2) {
  my @peer = (PeerHost => $host, PeerPort => $port);
  alarm 30;
  my ($tcp, $udp) = map { my $try = $_; my $got = eval { $try->(@peer) } // $@; chomp $got; $got } (\&tcp, \&udp);
  print "$host tcp $tcp udp $udp\n";
}`;

const group = `use Socket ':all'; my $port = 9; my $group = inet_aton '239.1.2.3';
socket my $s, PF_INET, SOCK_DGRAM, 0 or die $!;`;

/** Joins a multicast group, and prints the first datagram that comes to it. */
export const multicastReceiver = `${group}
bind $s, pack_sockaddr_in $port, INADDR_ANY or die $!;
setsockopt $s, IPPROTO_IP, IP_ADD_MEMBERSHIP, pack_ip_mreq $group or die $!;
recv $s, my $data, 100, 0;
print $data;`;

/** Sends `all` to that group. */
export const multicastSender = `${group}
send $s, 'all', 0, pack_sockaddr_in $port, $group or die $!;`;
