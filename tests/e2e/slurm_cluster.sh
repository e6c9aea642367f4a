# A Slurm cluster of four nodes on this machine, for the tests: sourced after expect.sh, needs $dir; slurm_start, slurm_stop.
# Everything is below $dir/slurm; only processes that it started are stopped, by their numbers.
slurm_missing() { # what keeps a cluster from running here, or nothing
    for program in munged slurmctld slurmd sbatch squeue scontrol; do
        command -v "$program" > /dev/null || PATH=$PATH:/usr/sbin command -v "$program" > /dev/null || { echo "$program is not installed"; return; }
    done
    [ "$(id -u)" = 0 ] || echo "it takes root to run slurmd"
}

slurm_start() {
    PATH=$PATH:/usr/sbin
    S=$dir/slurm
    mkdir -p "$S/state" "$S/spool" "$S/log" "$S/run"
    head -c 1024 /dev/urandom > "$S/munge.key"
    chmod 400 "$S/munge.key"
    port=$((20000 + $$ % 20000))
    cat > "$S/slurm.conf" <<X
ClusterName=isobathtest
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$S/run/munge.sock,cred_expire=5
SlurmctldPort=$port
SlurmctldPidFile=$S/run/slurmctld.pid
SlurmdPidFile=$S/run/slurmd.%n.pid
StateSaveLocation=$S/state
SlurmdSpoolDir=$S/spool/%n
SlurmctldLogFile=$S/log/slurmctld.log
SlurmdLogFile=$S/log/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
JobRequeue=1
MinJobAge=300
KillWait=2
SlurmctldTimeout=20
SlurmdTimeout=20
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=100000
NodeName=n[1-4] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 4))] CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=n[1-4] Default=YES MaxTime=INFINITE State=UP
X
    echo CgroupPlugin=autodetect > "$S/cgroup.conf"
    export SLURM_CONF="$S/slurm.conf"
    munged --force --key-file="$S/munge.key" --socket="$S/run/munge.sock" --pid-file="$S/run/munged.pid" --log-file="$S/log/munged.log" \
        --seed-file="$S/run/munged.seed" || return 1
    slurmctld -c || return 1
    for i in 1 2 3 4; do slurmd -N n$i || return 1; done
    for i in $(seq 100); do
        [ "$(sinfo --noheader --Node --states=idle 2> /dev/null | wc -l)" = 4 ] && return 0
        sleep 0.1
    done
    cat "$S/log/slurmctld.log"
    return 1
}

slurm_stop() {
    [ -n "${S:-}" ] || return 0
    scontrol shutdown > /dev/null 2>&1
    for i in $(seq 50); do
        ls "$S"/run/slurm*.pid > /dev/null 2>&1 || break
        sleep 0.1
    done
    for f in "$S"/run/*.pid; do
        [ -e "$f" ] && kill "$(cat "$f")" 2> /dev/null
    done
}
