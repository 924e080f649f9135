import torch
def joint_contrastive(joint, modalities, temperature):
    total=0; B=len(joint)
    for z in modalities:
        x=torch.cat([joint,z]); s=x@x.T/temperature
        s=s.masked_fill(torch.eye(2*B,dtype=torch.bool),float("-inf"))
        pos=(joint*z).sum(1)/temperature
        total=total+(s.logsumexp(1)-torch.cat([pos,pos])).mean()
    return total
